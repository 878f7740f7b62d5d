//! The program's parts over real sockets.

#[cfg(test)]
mod cli;
#[cfg(test)]
#[expect(dead_code, reason = "other crates' tests use more of it")]
#[path = "../../../test-support/src/databases.rs"]
mod databases;
#[cfg(test)]
mod health;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod metrics;
#[cfg(test)]
#[expect(dead_code, reason = "other crates' tests use more of it")]
#[path = "../../../test-support/src/objects.rs"]
mod objects;
#[cfg(test)]
mod process;
#[cfg(test)]
mod sendfile;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod support;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod tls;
