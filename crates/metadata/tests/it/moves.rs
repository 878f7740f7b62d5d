//! From one engine to another and back.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

use wharf_metadata::repositories::{self, State};
use wharf_metadata::transfer::{self, Chunk, Purpose};
use wharf_metadata::{Error, Metadata};

use crate::databases::Kind;
use crate::fixture::{Engine, Fixture, name};
use crate::full::full;

/// All rows, in the order of their keys on SQLite.
fn rows(metadata: &Metadata) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    metadata
        .read_blocking(|tx| {
            transfer::read(tx, Purpose::Move, |chunk| {
                chunks.push(chunk);
                Ok::<_, Error>(())
            })
        })
        .unwrap();
    chunks
}

#[test]
fn an_index_that_went_around_all_engines_is_the_same() {
    const ENGINES: [Engine; 4] = [
        Engine::Server(Kind::Postgresql),
        Engine::Server(Kind::Mariadb),
        Engine::Server(Kind::Postgresql),
        Engine::Sqlite,
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let first = full(Engine::Sqlite);
    let before = rows(&first.metadata);
    let mut last = first;
    for (hop, engine) in ENGINES.into_iter().enumerate() {
        let next = Fixture::on(engine);
        runtime
            .block_on(transfer::copy(&last.metadata, &next.metadata, false, |_, _| {}))
            .unwrap();
        assert!(rows(&next.metadata) == before, "{engine:?}");
        let (name, now) = (name("team/next"), next.now());
        let id = next
            .write(move |tx| repositories::find_or_create(tx, &name, State::Indexed(0), now))
            .id;
        // those that are used up stay so, one more on each engine
        assert_eq!(id, 3 + i64::try_from(hop).unwrap(), "{engine:?}");
        assert!(next.write(move |tx| repositories::delete_empty(tx, id)));
        last = next;
    }
}
