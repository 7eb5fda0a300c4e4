//! Lovebird.
