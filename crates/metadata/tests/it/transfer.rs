//! Rows on their way: copies, backups and snapshots.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

use std::collections::BTreeMap;

use wharf_metadata::error::Kind;
use wharf_metadata::repositories::State;
use wharf_metadata::transfer::{self, Chunk, Purpose};
use wharf_metadata::{
    Error, Metadata, Timestamp, adoption, blobs, garbage_collection, repositories, settings, tags,
};

use super::ENGINE;
use crate::fixture::{Fixture, digest};
use crate::full::full;

/// The same from inside an async test.
fn full_in_thread() -> Fixture {
    std::thread::scope(|scope| scope.spawn(|| full(ENGINE)).join().unwrap())
}

fn read(metadata: &Metadata, purpose: Purpose) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    metadata
        .read_blocking(|tx| {
            transfer::read(tx, purpose, |chunk| {
                chunks.push(chunk);
                Ok::<_, Error>(())
            })
        })
        .unwrap();
    chunks
}

fn rows(chunks: &[Chunk]) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for chunk in chunks {
        *rows.entry(chunk.table().to_owned()).or_default() += chunk.rows();
    }
    rows
}

fn tables(metadata: &Metadata, purpose: Purpose) -> Vec<String> {
    rows(&read(metadata, purpose)).into_keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_the_same_rows_and_goes_on_with_the_same_numbers() {
    let (from, to) = (full_in_thread(), Fixture::on(ENGINE));
    let mut told = Vec::new();
    let copied = transfer::copy(&from.metadata, &to.metadata, false, |table, rows| {
        told.push((table.to_owned(), rows));
    })
    .await
    .unwrap();
    assert!(read(&from.metadata, Purpose::Move) == read(&to.metadata, Purpose::Move));
    assert_eq!(copied.rows, rows(&read(&from.metadata, Purpose::Move)));
    assert_eq!(told.iter().rfind(|(table, _)| table == "blobs").unwrap().1, 120);
    assert_eq!(to.read(transfer::unfinished), None);
    for fixture in [&from, &to] {
        let now = fixture.now();
        let name = crate::fixture::name("team/next");
        let made = fixture
            .metadata
            .write(move |tx| repositories::find_or_create(tx, &name, State::Indexed(0), now))
            .await
            .unwrap();
        assert_eq!(made.id, 3, "the number of a repository that is gone is not given again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_whose_row_is_gone_is_not_given_again_by_the_copy() {
    let (from, to) = (Fixture::on(ENGINE), Fixture::on(ENGINE));
    let (name, now) = (crate::fixture::name("team/gone"), from.now());
    let copy = name.clone();
    from.metadata
        .write(move |tx| {
            let id = repositories::find_or_create(tx, &copy, State::Indexed(0), now)?.id;
            repositories::delete_empty(tx, id)
        })
        .await
        .unwrap();
    transfer::copy(&from.metadata, &to.metadata, false, |_, _| {})
        .await
        .unwrap();
    let made = to
        .metadata
        .write(move |tx| repositories::find_or_create(tx, &name, State::Indexed(0), now))
        .await
        .unwrap();
    assert_eq!(made.id, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_onto_rows_is_refused_without_force_and_replaces_them_with_it() {
    let (from, to) = (full_in_thread(), Fixture::on(ENGINE));
    let now = to.now();
    to.metadata
        .write(move |tx| repositories::find_or_create(tx, &crate::fixture::name("other/thing"), State::Indexed(0), now))
        .await
        .unwrap();
    let refused = transfer::copy(&from.metadata, &to.metadata, false, |_, _| {})
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Unique);
    assert!(
        to.read(|tx| repositories::exists(tx, &crate::fixture::name("other/thing"))),
        "nothing was touched"
    );
    transfer::copy(&from.metadata, &to.metadata, true, |_, _| {})
        .await
        .unwrap();
    assert!(read(&from.metadata, Purpose::Move) == read(&to.metadata, Purpose::Move));
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_that_stopped_half_way_shows_and_can_be_repeated() {
    let (from, to) = (full_in_thread(), Fixture::on(ENGINE));
    let chunks = read(&from.metadata, Purpose::Move);
    for chunk in chunks.into_iter().take(6) {
        to.metadata
            .write(move |tx| {
                if chunk.table() == "settings" {
                    transfer::begin(tx, transfer::Origin::Index, false)?;
                }
                transfer::insert(tx, &chunk)
            })
            .await
            .unwrap();
    }
    assert_eq!(to.read(transfer::unfinished), Some(transfer::Origin::Index));
    transfer::copy(&from.metadata, &to.metadata, false, |_, _| {})
        .await
        .unwrap();
    assert!(read(&from.metadata, Purpose::Move) == read(&to.metadata, Purpose::Move));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_missing_at_the_end_are_noticed() {
    let to = Fixture::on(ENGINE);
    let counts = vec![("users".to_owned(), 1)];
    let error = to
        .metadata
        .write(move |tx| transfer::finish(tx, &counts))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("users has 0 rows instead of 1"), "{error}");
}

#[test]
fn a_backup_leaves_out_what_means_nothing_later() {
    let fixture = full(ENGINE);
    let moved = tables(&fixture.metadata, Purpose::Move);
    let saved = tables(&fixture.metadata, Purpose::Backup);
    let left_out: Vec<_> = moved.iter().filter(|table| !saved.contains(table)).collect();
    assert_eq!(
        left_out,
        [
            "directories",
            "gc_queue",
            "mirror",
            "refresh_tokens",
            "tombstones",
            "uploads"
        ]
    );
}

#[test]
fn a_snapshot_holds_what_the_storage_cannot_rebuild() {
    let saved = tables(&full(ENGINE).metadata, Purpose::Snapshot);
    for table in [
        "users",
        "projects",
        "signing_keys",
        "settings",
        "tag_history",
        "audit_log",
        "repositories",
    ] {
        assert!(saved.iter().any(|saved| saved == table), "{table}");
    }
    for table in [
        "blobs",
        "manifests",
        "manifest_references",
        "tags",
        "repository_blobs",
        "uploads",
        "refresh_tokens",
    ] {
        assert!(!saved.iter().any(|saved| saved == table), "{table}");
    }
}

/// A backup that is read later: its rows in another index, made safe.
fn restored(from: &Fixture, purpose: Purpose) -> Fixture {
    let to = Fixture::on(ENGINE);
    for chunk in read(&from.metadata, purpose) {
        to.write(move |tx| transfer::insert(tx, &chunk));
    }
    let now = Timestamp(9_000_000_000);
    to.write(move |tx| transfer::settle(tx, 41, now));
    to
}

/// What a collector goes by that waits for nothing.
fn collecting(epoch: i64, now: Timestamp) -> garbage_collection::Pass {
    garbage_collection::Pass {
        owner: "x".to_owned(),
        epoch,
        now,
        grace: 0,
        untagged_after: None,
        deadline: now,
    }
}

#[test]
fn a_restored_index_collects_nothing_before_everything_was_compared() {
    let from = full(ENGINE);
    let repository = from.repository("team/app").id;
    let old = from.now();
    from.write(move |tx| {
        let epoch = adoption::begin_pass(tx, 0, old)?;
        adoption::complete_pass(tx, epoch)
    });
    assert!(from.read(adoption::completeness).is_complete);
    let to = restored(&from, Purpose::Backup);
    let now = to.read(adoption::completeness);
    assert!(!now.is_complete);
    assert_eq!(now.epoch, 42, "newer than what the storage remembers");
    let pass = collecting(42, Timestamp(i64::MAX / 2));
    assert_eq!(
        to.write(move |tx| garbage_collection::review_links(tx, &pass, 100)),
        None
    );
    assert!(
        to.read(garbage_collection::Cursor::load).is_some(),
        "what was queued is found again"
    );
    assert!(to.read(|tx| repositories::unindexed(tx, 10)).len() == 1);
    assert_eq!(to.read(|tx| tags::page(tx, repository, None, 10)).len(), 3);
}

#[test]
fn restored_deletions_are_left_to_the_storage_and_condemned_blobs_are_present() {
    let from = full(ENGINE);
    let now = from.now();
    from.write(move |tx| {
        let epoch = adoption::begin_pass(tx, 0, now)?;
        adoption::complete_pass(tx, epoch)?;
        for number in [600, 601] {
            let id = blobs::adopt(tx, (&digest(number), None), 10, now)?;
            let alone_since = if number == 600 { now.plus(1_000) } else { now };
            garbage_collection::queue_blob(tx, id, alone_since)?;
        }
        Ok(())
    });
    let epoch = from.read(adoption::completeness).epoch;
    let later = Timestamp(now.0 + 1_000_000_000);
    from.write(move |tx| {
        // one is condemned and deleted, the other only condemned
        garbage_collection::review_blobs(tx, &collecting(epoch, now), 10)?;
        garbage_collection::review_blobs(tx, &collecting(epoch, now), 10)?;
        garbage_collection::review_blobs(tx, &collecting(epoch, later), 10)
    });
    let state = |number| from.read(|tx| blobs::find(tx, &digest(number))).unwrap().state;
    assert_eq!(state(600), blobs::State::Condemned);
    assert_eq!(state(601), blobs::State::Deleting { deadline: now });
    let to = restored(&from, Purpose::Backup);
    let state = |number| to.read(|tx| blobs::find(tx, &digest(number))).unwrap().state;
    assert_eq!(state(600), blobs::State::Present);
    assert_eq!(state(601), blobs::State::Writing);
}

#[test]
fn an_index_is_empty_until_something_is_kept_in_it() {
    let fixture = Fixture::on(ENGINE);
    assert!(fixture.read(transfer::is_empty));
    fixture.write(|tx| settings::set(tx, "storage.identity", b"one"));
    assert!(fixture.read(transfer::is_empty));
    fixture.repository("team/app");
    assert!(!fixture.read(transfer::is_empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_not_copied_onto_itself() {
    let fixture = full_in_thread();
    let before = read(&fixture.metadata, Purpose::Move);
    let again = std::thread::scope(|scope| scope.spawn(|| fixture.open()).join().unwrap());
    let error = transfer::copy(&fixture.metadata, &again, true, |_, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("the same database"), "{error}");
    assert!(read(&fixture.metadata, Purpose::Move) == before);
    assert_eq!(fixture.metadata.read(transfer::unfinished).await.unwrap(), None);
}
