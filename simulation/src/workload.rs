//! What a user hands over: a state machine, and what clients do with it.

use std::fmt::Debug;
use std::hash::Hasher;

use fnv::FnvHasher;
use lovebird_core::codec::Data;
use lovebird_core::state_machine::{Snapshot, StateMachine};

use crate::chance::Chance;

/// The command of a workload's state machine.
pub type CommandOf<W> = <<W as Workload>::Machine as StateMachine>::Command;
/// Its reply.
pub type ReplyOf<W> = <<W as Workload>::Machine as StateMachine>::Reply;
/// Its query.
pub type QueryOf<W> = <<W as Workload>::Machine as StateMachine>::Query;
/// Its answer.
pub type AnswerOf<W> = <<W as Workload>::Machine as StateMachine>::Answer;
/// Its snapshot.
pub type SnapshotOf<W> = <<W as Workload>::Machine as StateMachine>::Snapshot;

/// A state machine under test, and what clients do with it.
///
/// Everything that the library promises is checked without a word of yours: that replicas are equal, that what was acknowledged
/// stays, that each command takes effect once, that replies and answers are those of one history. To check that your state is
/// what you mean it to be, there is [`Workload::check`].
///
/// The functions have no `self`, and draw from the [`Chance`] that they are given alone: what clients do is then decided by the
/// seed, whatever the code does.
pub trait Workload: Send + Sync + 'static {
    /// What is tested.
    type Machine: StateMachine<Command: Debug, Reply: Debug, Query: Debug, Answer: Debug>;

    /// What clients propose: the machine's commands, or requests to it as a primary.
    type Proposal: Data + Clone + Debug;

    /// A machine as it is born.
    fn machine() -> Self::Machine;

    /// What a client proposes next. Clients are named by numbers.
    fn next(client: u64, chance: &mut Chance) -> Self::Proposal;

    /// What a client asks next.
    fn query(client: u64, chance: &mut Chance) -> QueryOf<Self>;

    /// A number that is equal for equal states. It is asked for after every command on every replica, and where two replicas at
    /// one log index give different ones, they have diverged there.
    ///
    /// By default the hash of the bytes of a snapshot. Those of a `HashMap` depend on its order, which differs between replicas
    /// that are equal: keep a `BTreeMap`, or hash here what does not depend on the order. For a state whose snapshot is large,
    /// keep a digest in the state itself and give that.
    fn digest(machine: &Self::Machine) -> u64 {
        let mut hash = Hashing::default();
        match machine.snapshot().write(&mut hash) {
            Ok(()) => hash.0.finish(),
            Err(error) => panic!("a snapshot could not be written to memory: {error}"),
        }
    }

    /// Your own invariants: an error is a sentence that says what does not hold. Asked whenever some replica is the first to have
    /// applied a command, and after every restore.
    ///
    /// # Errors
    /// What does not hold.
    fn check(machine: &Self::Machine) -> Result<(), String> {
        let _ = machine;
        Ok(())
    }
}

/// A hash that is written to; the same for the same bytes however they are cut.
#[derive(Default)]
struct Hashing(FnvHasher);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One step of a digest: any change of `part` or of the order changes what comes out, as far as 64 bits can tell. (The finisher
/// of Stafford's variant 13 of MurmurHash3, as in SplitMix64.)
pub fn mix(digest: u64, part: u64) -> u64 {
    let mixed = (digest.rotate_left(23) ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
