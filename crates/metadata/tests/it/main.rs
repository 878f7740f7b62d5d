//! The behaviour suite of the index, written against `Metadata`: every engine must pass it.

mod fixture;
mod repositories;
