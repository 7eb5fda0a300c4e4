//! Load: many callers who write and read, and what they meet with.

mod caller;
mod closed;

pub(crate) use caller::{Mix, Value};
pub(crate) use closed::{Closed, Measured, closed};
