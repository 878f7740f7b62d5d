//! The behaviour of storage, the same for every driver.

mod blobs;
mod support;
