//! Whether the runtime of this build is what openraft expects of one.

use openraft_rt::testing::Suite;

/// Runs openraft's suite of runtimes on [`runtime::Raft`](crate::runtime::Raft).
///
/// The suite makes its runtimes itself: call it from a plain test, outside any runtime, and in a simulated build not from
/// within a simulation either.
///
/// # Panics
/// If the runtime fails it.
pub fn runtime_suite() {
    Suite::<crate::runtime::Raft>::test_all();
}
