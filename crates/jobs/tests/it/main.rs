//! Several processes on one index, with a clock that only the test moves.

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

/// The suite on one engine.
macro_rules! suite {
    ($name:ident, $engine:expr) => {
        #[path = "."]
        mod $name {
            /// What the tests of this module run on.
            const ENGINE: crate::fixture::Engine = $engine;

            mod ending;
            mod leases;
            mod running;
            mod schedules;
        }
    };
}

suite!(sqlite, crate::fixture::Engine::Sqlite);
suite!(
    postgresql,
    crate::fixture::Engine::Server(crate::databases::Kind::Postgresql)
);
suite!(mariadb, crate::fixture::Engine::Server(crate::databases::Kind::Mariadb));
