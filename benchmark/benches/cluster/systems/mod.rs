//! What is measured: ours, and what one would take in its place.

mod lovebird;

pub(crate) use lovebird::{Lovebird, NodeOptions, Settings, run as run_node, until_input_ends};
