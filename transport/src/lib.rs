//! Lovebird: transport.
