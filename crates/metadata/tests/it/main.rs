//! The behaviour suite of the index, written against `Metadata`: every engine must pass it.

mod accounts;
mod blobs;
mod fixture;
mod garbage_collection;
mod links;
mod manifests;
mod mirror;
mod ownership;
mod referrers;
mod repositories;
mod statistics;
mod tags;
mod transfer;
mod uploads;
mod writing;
