//! Load: many callers who write and read, and what they meet with.

mod caller;
mod closed;
mod paced;

pub(crate) use caller::{Mix, Value};
pub(crate) use closed::{Closed, Measured, closed};
pub(crate) use paced::{Paced, paced};
