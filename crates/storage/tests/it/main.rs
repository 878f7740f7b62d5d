//! The behaviour of storage, the same for every driver.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, its helpers too, and says what it skips"
)]

mod blobs;
mod driver;
mod faults;
mod foreign;
mod links;
#[expect(dead_code, reason = "other crates use more of it")]
#[path = "../../../test-support/src/objects.rs"]
mod objects;
mod power_cut;
mod state;
mod support;
mod uploads;
mod walk;
