//! Two jobs on a server that meet in the middle: what one decides must hold when the other ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails must fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wharf_metadata::tags::Action;
use wharf_metadata::trash::{self, Deleted, Deletion, Filter, Key, Trashed};
use wharf_metadata::{Error, Timestamp, Tx, blobs, manifests, tags};

use super::ENGINE;
use crate::databases;
use crate::fixture::{Engine, Fixture, change, digest, name, tag};

const LATER: Timestamp = Timestamp(i64::MAX - 1);
const NOW: Timestamp = Timestamp(2_000_000);

/// `None` where the engine is not to be tested on.
fn fixture() -> Option<Fixture> {
    match ENGINE {
        Engine::Server(kind) if databases::is_wanted(kind.name()) => Some(Fixture::on(ENGINE)),
        _ => None,
    }
}

/// Runs `first`, and before it is committed `second` on another handle, until that has ended or
/// waits for the first.
fn meet<A: Send + 'static, B: Send + 'static>(
    fixture: &Fixture,
    mut first: impl FnMut(&mut Tx<'_>) -> Result<A, Error> + Send + 'static,
    second: impl FnMut(&mut Tx<'_>) -> Result<B, Error> + Send + 'static,
) -> (A, B) {
    let Engine::Server(kind) = ENGINE else {
        panic!("a file has one writer")
    };
    let (server, database) = (kind.server(), fixture.database().name().to_owned());
    let (begin, begun) = mpsc::channel();
    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&has_ended);
    let other = fixture.open();
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            begun.recv().unwrap();
            let outcome = other.write_blocking(second);
            ended.store(true, Ordering::SeqCst);
            outcome.unwrap()
        });
        let first = fixture.metadata.write_blocking(move |tx| {
            let outcome = first(tx)?;
            let _is_first_try = begin.send(());
            let until = Instant::now() + Duration::from_secs(30);
            while !has_ended.load(Ordering::SeqCst) && !server.is_waiting(&database) {
                assert!(Instant::now() < until, "the second one neither waits nor ends");
            }
            Ok::<_, Error>(outcome)
        });
        (first.unwrap(), second.join().unwrap())
    })
}

/// A repository with a tagged manifest.
fn tagged(fixture: &Fixture) -> i64 {
    let id = fixture.repository("a").id;
    fixture.manifest(id, digest(10), &[]);
    fixture.tag(id, "v1", digest(10));
    id
}

fn delete(id: i64, expires_at: Option<Timestamp>) -> impl FnMut(&mut Tx<'_>) -> Result<Option<Deleted>, Error> {
    move |tx| {
        let deletion = Deletion {
            by: "bob".to_owned(),
            at: NOW,
            reason: "deleted".to_owned(),
            expires_at,
        };
        trash::delete_manifest(tx, (id, &name("a")), &digest(10), &deletion)
    }
}

fn all(fixture: &Fixture) -> Vec<Trashed> {
    fixture.read(|tx| trash::page(tx, &Filter::default(), None, 100))
}

#[test]
fn a_tag_that_is_pushed_while_its_manifest_is_deleted_goes_to_the_trash_with_it() {
    let Some(fixture) = fixture() else { return };
    let id = tagged(&fixture);
    let push = move |tx: &mut Tx<'_>| {
        blobs::lock_present(tx, &[digest(10)], NOW)?;
        let head = manifests::head(tx, id, &digest(10))?.unwrap();
        tags::put(tx, &change(id, &tag("v2"), Action::Pushed, NOW), head.id, &digest(10))
    };
    let (_, gone) = meet(&fixture, push, delete(id, Some(LATER)));
    assert_eq!(gone.unwrap().entries.len(), 3);
    let entry = all(&fixture).remove(0);
    let kept: Vec<_> = entry.tags.into_iter().map(|kept| kept.tag).collect();
    assert_eq!(kept, [tag("v1"), tag("v2")]);
}

#[test]
fn of_two_that_delete_a_manifest_one_finds_it_gone() {
    for (first, second) in [(Some(LATER), Some(LATER)), (Some(LATER), None), (None, Some(LATER))] {
        let Some(fixture) = fixture() else { return };
        let id = tagged(&fixture);
        let (gone, again) = meet(&fixture, delete(id, first), delete(id, second));
        assert!(gone.is_some() != again.is_some(), "{first:?}, then {second:?}");
        // that one decides; a server may have made the first one begin again
        let kept = if gone.is_some() { first } else { second };
        assert_eq!(all(&fixture).len(), usize::from(kept.is_some()), "{first:?}, then {second:?}");
        let files = fixture.read(|tx| trash::pending_files(tx, 10));
        let expected = kept.map(|_| Key::new(&name("a"), &digest(10)));
        assert_eq!(files, Vec::from_iter(expected));
    }
}
