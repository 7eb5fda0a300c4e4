//! openraft's own suites, for whoever implements what consensus stands on.

pub mod runtime;
