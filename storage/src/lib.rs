//! Lovebird: storage.
