//! openraft's own suites, for whoever implements a seam of this crate. Not part of the public interface.

pub mod runtime;

mod log;

pub use log::{Storage, log_suite};
