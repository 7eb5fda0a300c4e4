//! Lovebird: simulation.
