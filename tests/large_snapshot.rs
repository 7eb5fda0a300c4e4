//! A large snapshot goes to a follower in chunks, and no node ever holds it in memory.
//!
//! The state is small and its snapshot is 200 MiB that are made while they are written and checked while they are read, so
//! whatever memory grows by is the library's.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_process;

use std::io::{self, Read, Write};

use in_process::{Cluster, until};
use lovebird::{Context, Options, Read as Freshness, Snapshot, StateMachine};

const SNAPSHOT_BYTES: u64 = 200 << 20;

/// What all three nodes together, their buffers and their caches, may grow by while the snapshot is written, sent, verified
/// and restored.
const GROWTH_BYTES_MAX: u64 = 100 << 20;

#[derive(Default)]
struct Large(u64);

/// A number, and 200 MiB that follow from it.
struct Captured(u64);

/// The bytes that follow from `seed`, a block at a time (xorshift64, Marsaglia 2003).
fn blocks(seed: u64) -> impl Iterator<Item = [u8; 4096]> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..SNAPSHOT_BYTES / 4096).map(move |_| {
        let mut block = [0; 4096];
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        block
    })
}

impl Snapshot for Captured {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0.to_le_bytes())?;
        for block in blocks(self.0) {
            out.write_all(&block)?;
        }
        Ok(())
    }

    fn read(input: &mut dyn Read) -> io::Result<Self> {
        let mut seed = [0; 8];
        input.read_exact(&mut seed)?;
        let seed = u64::from_le_bytes(seed);
        let mut found = [0; 4096];
        for expected in blocks(seed) {
            input.read_exact(&mut found)?;
            assert!(found == expected, "the snapshot is not what was written");
        }
        assert_eq!(input.read(&mut found)?, 0, "the snapshot goes on behind its end");
        Ok(Captured(seed))
    }
}

impl StateMachine for Large {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    type Snapshot = Captured;

    fn apply(&mut self, _: &Context, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    fn query(&self, _: ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Captured {
        Captured(self.0)
    }

    fn restore(&mut self, snapshot: Captured) {
        self.0 = snapshot.0;
    }
}

/// A line of this process' status, in bytes: `VmRSS` is resident now, `VmHWM` the most that ever was.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_the_purge_point_gets_200_mib_in_chunks() {
    let options = Options { snapshot_records: 1000, keep_records: 10, ..Options::default() };
    let mut cluster = Cluster::<Large>::start(3, options).await;
    let leader = cluster.leader().await;
    let behind = leader % 3 + 1;
    cluster.stop(behind).await;
    let before = memory("VmRSS");
    let client = cluster.node(leader).client();
    let mut last = 0;
    while last < 1000 {
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.propose(1).await.unwrap().index })
            })
            .collect();
        for caller in callers {
            last = last.max(caller.await.unwrap());
        }
    }
    until("the leader has purged what the follower lacks", || {
        let status = cluster.node(leader).status();
        (status.snapshot > 0 && status.first > 1).then_some(())
    })
    .await;
    cluster.restart(behind).await;
    cluster.applied(last).await;
    // The state is restored first; then the log is purged for it.
    until("the follower's log begins behind the snapshot that it received", || {
        let status = cluster.node(behind).status();
        (status.snapshot > 0 && status.first == status.snapshot + 1).then_some(())
    })
    .await;
    let answered = cluster.node(behind).client().query((), Freshness::Stale).await.unwrap();
    assert_eq!((answered.index, answered.answer), (last, last));
    let growth = memory("VmHWM").saturating_sub(before);
    println!("memory grew by {} MiB", growth >> 20);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "memory grew by {growth} bytes while {SNAPSHOT_BYTES} were on their way"
    );
    cluster.stop_all().await;
}
