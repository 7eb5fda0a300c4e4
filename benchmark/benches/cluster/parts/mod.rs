//! What is measured, part by part.

pub(crate) mod writes;
