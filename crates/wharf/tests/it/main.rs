//! The program's parts over real sockets.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod health;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod metrics;
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
