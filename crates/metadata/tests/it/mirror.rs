//! What storage has yet to show, and what changed while it was read (consistency rules 3, 7, 8).

use std::sync::Mutex;

use wharf_metadata::directories::{self, ABOVE_REPOSITORIES, Directory};
use wharf_metadata::{Entry, mirror, tombstones};

use super::ENGINE;
use crate::fixture::{Fixture, digest, sha512, tag};

fn latest() -> Entry {
    Entry::Tag(tag("latest"))
}

#[test]
fn a_change_while_an_older_one_is_mirrored_stays_pending() {
    let fixture = Fixture::on(ENGINE);
    let raise = || fixture.write(|tx| mirror::raise(tx, 1, &latest()));
    let settle = |version| fixture.write(move |tx| mirror::settle(tx, 1, &latest(), version));
    let first = raise();
    let second = raise();
    assert!(second > first);
    assert!(!settle(first), "the entry has changed since");
    assert_eq!(fixture.read(|tx| mirror::version(tx, 1, &latest())), Some(second));
    assert!(settle(second));
    assert!(!settle(second));
    // a version is never given twice: a holder that is late settles nothing of others
    let third = raise();
    assert!(third > second);
    assert!(!settle(second));
    assert_eq!(fixture.read(mirror::count), 1);
}

#[test]
fn of_changes_that_race_with_mirroring_the_last_is_always_mirrored() {
    let fixture = Fixture::on(ENGINE);
    let given = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let version = fixture.write(|tx| mirror::raise(tx, 1, &latest()));
                    given.lock().unwrap().push(version);
                    fixture.write(move |tx| mirror::settle(tx, 1, &latest(), version));
                }
            });
        }
    });
    // whoever raised last settled last
    assert_eq!(fixture.read(|tx| mirror::pending(tx, None, 10)), []);
    let mut given = given.into_inner().unwrap();
    given.push(fixture.write(|tx| mirror::raise(tx, 2, &latest())));
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 201, "a version was given twice");
}

#[test]
fn every_kind_of_entry_comes_back_as_it_went_in() {
    let fixture = Fixture::on(ENGINE);
    let entries = [
        Entry::Layer(digest(1)),
        Entry::Layer(sha512(1)),
        Entry::Revision(digest(1)),
        Entry::Tag(tag("latest")),
    ];
    for entry in entries.clone() {
        fixture.write(move |tx| mirror::raise(tx, 7, &entry));
    }
    fixture.write(|tx| mirror::raise(tx, 8, &Entry::Tag(tag("a"))));
    let all = fixture.read(|tx| mirror::pending(tx, None, 10));
    let order: Vec<_> = all.iter().map(|pending| pending.entry.clone()).collect();
    assert_eq!(order[..4], entries);
    assert_eq!(all[4].repository_id, 8);
    let rest = fixture.read(|tx| mirror::pending(tx, Some((7, &entries[2])), 10));
    assert_eq!(rest, all[3..]);
    assert_eq!(fixture.read(|tx| mirror::pending(tx, None, 2)), all[..2]);
}

#[test]
fn a_tombstone_lasts_until_its_pass_ends() {
    let fixture = Fixture::on(ENGINE);
    let exists = || fixture.read(|tx| tombstones::exists(tx, 1, &latest()));
    fixture.write(|tx| tombstones::add(tx, 1, &latest(), 5));
    fixture.write(|tx| tombstones::add(tx, 2, &latest(), 5));
    assert!(exists());
    // changed again during the next pass
    fixture.write(|tx| tombstones::add(tx, 1, &latest(), 6));
    assert_eq!(fixture.write(|tx| tombstones::clear(tx, 1, 5)), 0);
    assert!(exists());
    assert_eq!(fixture.write(|tx| tombstones::clear(tx, 1, 6)), 1);
    assert!(!exists());
    assert!(fixture.read(|tx| tombstones::exists(tx, 2, &latest())));
}

#[test]
fn directories_keep_the_time_they_were_last_read_at() {
    let fixture = Fixture::on(ENGINE);
    let directory = |repository_id, path: &str, mtime| Directory {
        repository_id,
        path: path.to_owned(),
        mtime,
    };
    let first = vec![
        directory(ABOVE_REPOSITORIES, "team", 1),
        directory(1, "_manifests/tags", 2),
        directory(1, "_layers/sha256", 3),
    ];
    fixture.write(move |tx| directories::record(tx, &first));
    let renewed = vec![directory(1, "_manifests/tags", 9)];
    fixture.write(move |tx| directories::record(tx, &renewed));
    let of = |id| fixture.read(|tx| directories::of(tx, id));
    assert_eq!(
        of(1),
        [directory(1, "_layers/sha256", 3), directory(1, "_manifests/tags", 9)]
    );
    fixture.write(|tx| directories::forget(tx, 1, "_layers/sha256"));
    assert_eq!(of(1).len(), 1);
    fixture.write(|tx| directories::forget_all(tx, 1));
    assert_eq!(of(1), []);
    assert_eq!(of(ABOVE_REPOSITORIES).len(), 1);
}
