//! What several processes on one index tell each other: versions of what is remembered, claims of
//! what is to be mirrored, turns.

use wharf_access::Visibility;
use wharf_metadata::cache_versions::{self, BYTES, NAMES, SHARDS, Versions, shard_of};
use wharf_metadata::mirror::{self, Claim};
use wharf_metadata::verification::{self, Damage};
use wharf_metadata::{Entry, Error, Timestamp, Tx, blobs, leases, links, manifests, repositories, tags};

use super::ENGINE;
use crate::fixture::{Fixture, digest, tag};

const NOW: Timestamp = Timestamp(9_000_000);
const LATER: Timestamp = Timestamp(9_000_001);

/// An index that several processes share; `None` where it is in a file, which has one writer.
fn shared() -> Option<Fixture> {
    let fixture = Fixture::on(ENGINE);
    fixture.metadata.share();
    if fixture.metadata.path().is_none() {
        return Some(fixture);
    }
    assert!(!fixture.metadata.is_shared());
    fixture.repository("a");
    assert_eq!(fixture.read(cache_versions::read), Versions::NONE);
    None
}

/// Which shards a change has raised.
fn raised<T>(fixture: &Fixture, change: impl FnOnce() -> T) -> (T, Vec<usize>) {
    let before = fixture.read(cache_versions::read);
    let value = change();
    let after = fixture.read(cache_versions::read);
    let is_raised = |shard: &usize| before.of(*shard) != after.of(*shard);
    (value, (0..SHARDS).filter(is_raised).collect())
}

/// The same for one transaction.
fn raises<T: Send + 'static>(
    fixture: &Fixture,
    job: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> Vec<usize> {
    raised(fixture, || fixture.write(job)).1
}

#[test]
fn every_change_of_what_is_remembered_raises_its_shard() {
    let Some(fixture) = shared() else { return };
    let (id, shards) = raised(&fixture, || fixture.repository("a").id);
    assert_eq!(shards, [NAMES]);
    let shard = shard_of(id);
    assert_eq!(raised(&fixture, || fixture.blob(id, digest(1))).1, [shard]);
    assert_eq!(raised(&fixture, || fixture.manifest(id, digest(2), &[digest(1)])).1, [shard]);
    assert_eq!(raised(&fixture, || fixture.tag(id, "v1", digest(2))).1, [shard]);
    let delete = move |tx: &mut Tx<'_>| manifests::delete(tx, id, &digest(2), "", NOW);
    assert_eq!(raises(&fixture, delete), [shard]);
    assert_eq!(raises(&fixture, move |tx| links::unlink(tx, id, &digest(1), NOW)), [shard]);
    let publish = |tx: &mut Tx<'_>| repositories::set_visibility(tx, "library", Visibility::Public);
    assert_eq!(raises(&fixture, publish), [NAMES]);
    let damage = |tx: &mut Tx<'_>| verification::mark_damaged(tx, &digest(1), Damage::Missing, "", NOW);
    assert_eq!(raises(&fixture, damage), [BYTES]);
    assert_eq!(raises(&fixture, |tx| verification::mark_whole(tx, &digest(1))), [BYTES]);
    assert_eq!(raises(&fixture, move |tx| repositories::delete_empty(tx, id)), [NAMES]);
}

#[test]
fn what_nobody_remembers_raises_nothing() {
    let Some(fixture) = shared() else { return };
    let id = fixture.repository("a").id;
    fixture.blob(id, digest(1));
    fixture.manifest(id, digest(2), &[digest(1)]);
    fixture.tag(id, "v1", digest(2));
    let link = tags::Fingerprint {
        size: 1,
        mtime: 2,
        ctime: 3,
        inode: 4,
    };
    let seen = vec![(tag("v1"), digest(2), link)];
    assert!(raises(&fixture, move |tx| tags::set_links(tx, id, &seen)).is_empty());
    assert!(raises(&fixture, move |tx| mirror::raise(tx, id, &Entry::Tag(tag("v1")))).is_empty());
    let index = move |tx: &mut Tx<'_>| repositories::set_state(tx, id, repositories::State::Indexing(1));
    assert!(raises(&fixture, index).is_empty());
    assert!(raises(&fixture, |tx| verification::mark_whole(tx, &digest(1))).is_empty());
    assert!(raises(&fixture, |tx| blobs::touch(tx, &[digest(1)], NOW)).is_empty());
}

#[test]
fn a_change_that_is_undone_or_made_where_nobody_shares_raises_nothing() {
    let Some(fixture) = shared() else { return };
    let id = fixture.repository("a").id;
    let undone = || {
        let failed = fixture.metadata.write_blocking(move |tx| {
            blobs::adopt(tx, (&digest(1), None), 10, NOW)?;
            links::link(tx, id, &digest(1), NOW)?;
            Err::<(), _>(Refusal)
        });
        assert!(failed.is_err());
    };
    assert!(raised(&fixture, undone).1.is_empty());
    let alone = Fixture::on(ENGINE);
    assert!(raised(&alone, || alone.repository("a")).1.is_empty());
}

#[derive(Debug)]
struct Refusal;

impl From<Error> for Refusal {
    fn from(_: Error) -> Self {
        Self
    }
}

#[test]
fn a_version_that_was_read_with_something_stands_until_that_changes() {
    let Some(fixture) = shared() else { return };
    let id = fixture.repository("a").id;
    for number in 1..=3 {
        fixture.blob(id, digest(number));
        fixture.manifest(id, digest(number + 10), &[digest(number)]);
    }
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let other = fixture.open();
    other.share();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..100 {
                fixture.tag(id, "v1", digest(round % 3 + 11));
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut seen = std::collections::HashMap::new();
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let both = other.read_blocking(|tx| {
                let version = cache_versions::read(tx)?.of(shard_of(id));
                Ok::<_, Error>((version, tags::get(tx, id, &tag("v1"))?.map(|target| target.digest)))
            });
            let (version, target) = both.unwrap();
            assert_eq!(*seen.entry(version).or_insert(target), target, "version {version}");
        }
        assert!(seen.len() > 3);
    });
}

fn claim(holder: &str, now: i64) -> Claim<'_> {
    Claim {
        holder,
        now: Timestamp(now),
        until: Timestamp(now + 100),
        again_at: Timestamp(now + 1_000),
    }
}

fn latest() -> Entry {
    Entry::Tag(tag("latest"))
}

#[test]
fn an_entry_is_written_by_one_process_at_a_time() {
    let fixture = Fixture::on(ENGINE);
    let version = fixture.write(|tx| mirror::raise(tx, 1, &latest()));
    let take = |holder: &'static str, now| fixture.write(move |tx| mirror::claim(tx, 1, &[latest()], claim(holder, now)));
    assert_eq!(take("a", 0), Some(vec![latest()]));
    assert_eq!(take("b", 50), None, "it is a's");
    assert_eq!(take("a", 60), Some(vec![latest()]));
    // somebody changes it while it is written
    let newer = fixture.write(|tx| mirror::raise(tx, 1, &latest()));
    let settle = |holder: &'static str, version, now| {
        fixture.write(move |tx| mirror::settle_claimed(tx, 1, &latest(), version, (holder, Timestamp(now))))
    };
    assert!(!settle("a", version, 70));
    assert_eq!(take("b", 80), Some(vec![latest()]), "a has let it go");
    assert!(!settle("a", newer, 90), "b has it");
    assert!(settle("b", newer, 90));
    assert_eq!(take("a", 95), Some(Vec::new()), "nothing is left to do");
}

#[test]
fn an_entry_that_was_taken_over_is_pending_until_nothing_of_the_former_can_arrive() {
    let fixture = Fixture::on(ENGINE);
    let version = fixture.write(|tx| mirror::raise(tx, 1, &latest()));
    let take = |holder: &'static str, now| fixture.write(move |tx| mirror::claim(tx, 1, &[latest()], claim(holder, now)));
    let left = |now| fixture.read(|tx| mirror::claimable(tx, None, Timestamp(now), 10)).len();
    let settle = |holder: &'static str, now| {
        fixture.write(move |tx| mirror::settle_claimed(tx, 1, &latest(), version, (holder, Timestamp(now))))
    };
    assert_eq!(left(0), 1);
    take("dead", 0);
    assert_eq!(left(99), 0);
    assert_eq!(left(100), 1, "the claim has lapsed");
    assert!(take("b", 200).is_some());
    assert!(!settle("b", 250), "it is to be written again");
    assert_eq!(left(1_199), 0);
    assert_eq!(left(1_200), 1);
    assert!(take("c", 1_300).is_some());
    assert!(settle("c", 1_310));
    assert_eq!(left(9_999), 0);
}

#[test]
fn what_is_held_still_is_pending_for_nobody() {
    let fixture = Fixture::on(ENGINE);
    let (one, other) = (Entry::Revision(digest(1)), latest());
    let both = [one.clone(), other.clone()];
    let hold = both.clone();
    assert!(fixture.write(move |tx| mirror::hold(tx, 1, &hold, claim("a", 0))));
    let hold = both.clone();
    assert!(!fixture.write(move |tx| mirror::hold(tx, 1, &hold, claim("b", 50))));
    assert_eq!(fixture.read(|tx| mirror::version(tx, 1, &latest())), None);
    assert!(!fixture.read(|tx| mirror::has_pending(tx, 1)));
    assert_eq!(fixture.read(mirror::count), 0);
    // a change while it is held waits, and is not lost
    let version = fixture.write(|tx| mirror::raise(tx, 1, &latest()));
    assert_eq!(fixture.write(|tx| mirror::claim(tx, 1, &[latest()], claim("b", 60))), None);
    fixture.write(move |tx| mirror::release(tx, 1, &both, "a"));
    assert_eq!(fixture.read(|tx| mirror::version(tx, 1, &latest())), Some(version));
    let rest = fixture.read(|tx| mirror::claimable(tx, None, Timestamp(70), 10));
    assert_eq!(rest.len(), 1, "{one:?} is gone");
}

#[test]
fn a_turn_is_one_processs_until_it_is_given_back_or_has_lapsed() {
    let fixture = Fixture::on(ENGINE);
    let take = |holder: &'static str, now: Timestamp| {
        fixture.write(move |tx| leases::take(tx, "adoption", holder, (now, now.plus(100))))
    };
    assert!(take("a", NOW));
    assert!(!take("b", LATER));
    assert!(take("a", LATER), "who has it prolongs it");
    assert!(!fixture.write(|tx| leases::release(tx, "adoption", "b")));
    assert!(fixture.write(|tx| leases::release(tx, "adoption", "a")));
    assert!(take("b", LATER));
    assert!(take("a", LATER.plus(100)), "it has lapsed");
    assert!(!take("b", LATER.plus(101)));
}

#[test]
fn of_many_that_take_a_turn_at_once_one_has_it() {
    let fixture = Fixture::on(ENGINE);
    for round in 0..10 {
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|taker| {
                    let fixture = &fixture;
                    scope.spawn(move || {
                        let (name, holder) = (format!("turn {round}"), taker.to_string());
                        fixture.write(move |tx| leases::take(tx, &name, &holder, (NOW, LATER)))
                    })
                })
                .collect();
            takers.into_iter().map(|taker| usize::from(taker.join().unwrap())).sum()
        });
        assert_eq!(taken, 1);
    }
}
