//! The behaviour of storage, the same for every driver.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, its helpers too, and says what it skips"
)]

mod blobs;
mod driver;
#[path = "../../../test-support/src/faults.rs"]
mod fault_proxy;
mod faults;
mod foreign;
mod links;
#[path = "../../../test-support/src/objects.rs"]
mod objects;
mod power_cut;
mod remote_faults;
mod remote_uploads;
mod state;
mod support;
mod uploads;
mod walk;
