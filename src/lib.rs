//! Lovebird: replicated state machines.
//!
//! You write a deterministic state machine ([`StateMachine`]); Lovebird keeps equal copies of it on several machines. Commands
//! enter a log whose order is agreed by consensus and are acknowledged once a majority holds them durably; every replica
//! applies them in that order.
//!
//! ```no_run
//! use lovebird::{Context, NodeBuilder, Read, StateMachine};
//!
//! /// A counter.
//! #[derive(Default)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     type Command = u64;
//!     type Reply = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     type Snapshot = u64;
//!
//!     fn apply(&mut self, _: &Context, add: u64) -> u64 {
//!         self.0 = self.0.wrapping_add(add);
//!         self.0
//!     }
//!
//!     fn query(&self, _: ()) -> u64 {
//!         self.0
//!     }
//!
//!     fn snapshot(&self) -> u64 {
//!         self.0
//!     }
//!
//!     fn restore(&mut self, snapshot: u64) {
//!         self.0 = snapshot;
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = NodeBuilder::new(Counter::default())
//!     .cluster("counting")
//!     .id(1)
//!     .member(1, "127.0.0.1:7001")
//!     .listen("127.0.0.1:7001")
//!     .data_dir("data/1")
//!     .start()
//!     .await?;
//! let client = node.client();
//! let committed = client.propose(5).await?;
//! println!("record {} made it {}", committed.index, committed.reply);
//! println!("it is {}", client.query((), Read::Linearizable).await?.answer);
//! # Ok(())
//! # }
//! ```
//!
//! What is behind it lives in three crates: `lovebird-core` (the contracts, and the machinery that drives them),
//! `lovebird-storage` (the log and the snapshots on disk) and `lovebird-transport` (gRPC). This one re-exports what users
//! need and wires the default parts together; whoever needs other parts puts them together as [`NodeBuilder::start`] does.

// Sockets, files and threads: the simulated world has its own.
#[cfg(not(madsim))]
mod builder;
#[cfg(not(madsim))]
mod contacts;

#[cfg(not(madsim))]
pub use builder::{NodeBuilder, connect, operate, remove_data};
pub use lovebird_core::client::{Answered, Attempt, Client, ClientOptions, Committed, KEYS_KEPT, Key};
pub use lovebird_core::codec::Data;
pub use lovebird_core::context::{Context, Random};
pub use lovebird_core::error::{ProposeError, QueryError, StartError, Stopped, SubscribeError};
pub use lovebird_core::identity::NodeId;
pub use lovebird_core::node::{Node, Options};
pub use lovebird_core::operator::{CatchingUp, Export, Operator, OperatorError, Piece};
pub use lovebird_core::primary_backup::{Primary, PrimaryBackup};
pub use lovebird_core::service::{Model, Service};
pub use lovebird_core::session::NAME_BYTES_MAX;
pub use lovebird_core::state_machine::{Snapshot, StateMachine};
pub use lovebird_core::subscription::{Event, Logged, Subscription};
pub use lovebird_core::transport::{
    Change, ClusterInfo, Following, Member, MembershipVersion, Read, Role, Sending, Standing, Status,
    TransportError,
};
pub use lovebird_storage::Compression;
