//! Several processes on one index, with a clock that only the test moves.

mod ending;
mod fixture;
mod leases;
mod running;
mod schedules;
