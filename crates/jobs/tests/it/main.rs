//! Several processes on one index, with a clock that only the test moves.

mod fixture;
mod running;
