//! The behaviour suite of the index, written against `Metadata`: every engine must pass it.

#![expect(clippy::duplicate_mod, reason = "the same tests run on each engine")]

#[expect(dead_code, reason = "other crates' tests use more of it")]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that fails must fail the test"
)]
#[path = "../../../test-support/src/databases.rs"]
mod databases;
mod fixture;
mod full;
mod moves;

/// The suite on one engine.
macro_rules! suite {
    ($name:ident, $engine:expr $(, $own:ident)*) => {
        #[path = "."]
        mod $name {
            /// What the tests of this module run on.
            const ENGINE: crate::fixture::Engine = $engine;

            mod accounts;
            mod blobs;
            mod concurrency;
            mod garbage_collection;
            mod links;
            mod manifests;
            mod mirror;
            mod ownership;
            mod referrers;
            mod replicas;
            mod repositories;
            mod statistics;
            mod tags;
            mod transfer;
            mod trash;
            mod uploads;
            mod verification;
            mod writing;
            $(mod $own;)*
        }
    };
}

suite!(sqlite, crate::fixture::Engine::Sqlite, files);
suite!(
    postgresql,
    crate::fixture::Engine::Server(crate::databases::Kind::Postgresql),
    servers,
    races
);
suite!(
    mariadb,
    crate::fixture::Engine::Server(crate::databases::Kind::Mariadb),
    servers,
    races
);
