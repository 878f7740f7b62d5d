//! The distribution API as clients meet it: the whole front door, with a clock that stands.

#[cfg(test)]
mod base;
#[cfg(test)]
mod blobs;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod referrers;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod token;
#[cfg(test)]
mod uploads;
