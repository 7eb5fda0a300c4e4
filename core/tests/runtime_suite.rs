//! The runtime of this build, whichever it is, under openraft's suite of runtimes.
#![cfg(feature = "testing")]

#[test]
fn runtime_passes_the_suite_of_openraft() {
    lovebird_core::testing::runtime::runtime_suite();
}
