//! What the registry keeps true over restarts, crashes, other registries and power cuts.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod caches;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod garbage_collection;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod mirror;
#[cfg(test)]
mod model;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod purge;
mod races;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod repository_deletion;
#[cfg(test)]
mod tag_history;
#[cfg(test)]
mod trash;
#[cfg(test)]
mod trash_bytes;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod uploads;
#[cfg(test)]
mod verification;
