//! Fixtures for tests: a registry in a folder, images, clocks.
//!
//! [`Registry`] is the whole registry behind its HTTP front door, without a socket: requests go
//! in as values and answers come out. It can be stopped, killed and started again on its folder.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fixture that fails must fail the test"
)]

mod content;
pub mod databases;
pub mod faults;
mod folders;
pub mod objects;
mod place;
mod registry;
mod request;
mod running;
mod time;

pub use content::{Blob, Image, Manifest, artifact, image, index, sha256, sha512};
pub use folders::{quick_folder, stored_blobs};
pub use place::is_index_on_server;
pub use registry::{Auth, Looks, Options, Registry, Stopped, WEEK};
pub use request::{Answer, Sender, TestRequest};
pub use time::{ManualClock, random, until};
