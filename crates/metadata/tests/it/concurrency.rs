//! Several handles on one index at the same time, as several processes would be.

use std::sync::Barrier;

use wharf_metadata::error::Kind;
use wharf_metadata::repositories::State;
use wharf_metadata::{Entry, Error, Metadata, Timestamp, Tx, blobs, mirror, repositories, settings, tags, users};

use super::ENGINE;
use crate::fixture::{Engine, Fixture, digest, name, tag};

const HANDLES: usize = 3;

/// Runs `work` on several handles at the same time; with SQLite, where one process writes, on
/// several threads.
#[expect(clippy::unwrap_used, reason = "a thread that panicked must fail the test")]
fn together<T: Send>(fixture: &Fixture, work: impl Fn(&Metadata, usize) -> T + Sync) -> Vec<T> {
    let handles: Vec<Metadata> = (0..HANDLES)
        .map(|_| match ENGINE {
            Engine::Sqlite => fixture.metadata.clone(),
            Engine::Server(_) => fixture.open(),
        })
        .collect();
    let start = Barrier::new(HANDLES);
    std::thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .enumerate()
            .map(|(number, handle)| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(handle, number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

const NOW: Timestamp = Timestamp(1_000_000);

#[test]
fn a_repository_that_many_make_at_once_is_made_once() {
    let fixture = Fixture::on(ENGINE);
    for round in 0..10 {
        let ids = together(&fixture, |handle, _| {
            let name = name(&format!("team{round}/app"));
            let found = handle.write_blocking(move |tx| repositories::find_or_create(tx, &name, State::Indexed(0), NOW));
            found.unwrap().id
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

#[test]
fn a_name_that_many_take_at_once_is_given_once() {
    let fixture = Fixture::on(ENGINE);
    for round in 0..10 {
        let outcomes = together(&fixture, |handle, _| {
            let login = format!("user{round}");
            handle.write_blocking(move |tx| {
                let user = users::NewUser {
                    name: &login,
                    password_hash: "hash",
                    is_admin: false,
                    must_change: false,
                };
                users::create(tx, user, NOW)
            })
        });
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(taken, 1, "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), Kind::Unique, "{error}");
        }
    }
}

#[test]
fn numbers_are_given_once_over_all_handles_and_restarts() {
    let fixture = Fixture::on(ENGINE);
    let repository = fixture.repository("a").id;
    let versions: Vec<i64> = together(&fixture, |handle, number| {
        let raise = |round: usize| {
            let entry = Entry::Tag(tag(&format!("t{number}-{round}")));
            handle.write_blocking(move |tx| mirror::raise(tx, repository, &entry)).unwrap()
        };
        (0..50).map(raise).collect::<Vec<_>>()
    })
    .concat();
    let again = fixture.open();
    let last = (0..3).map(|round| {
        let entry = Entry::Tag(tag(&format!("last-{round}")));
        again.write_blocking(move |tx| mirror::raise(tx, repository, &entry)).unwrap()
    });
    let mut given: Vec<i64> = versions.into_iter().chain(last).collect();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 153);
    assert_eq!(fixture.read(mirror::count), 153);
}

#[test]
fn increments_that_race_are_all_counted() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), None), 10, NOW));
    together(&fixture, |handle, _| {
        for _ in 0..30 {
            let absent = handle.write_blocking(|tx| blobs::lock_present(tx, &[digest(1)], NOW)).unwrap();
            assert!(absent.is_empty());
        }
    });
    let blob = fixture.read(|tx| blobs::find(tx, &digest(1))).unwrap();
    assert_eq!(blob.generation, 90);
}

/// Two rows in opposite orders: each job may lose to another and runs again.
#[test]
fn jobs_that_would_wait_for_each_other_for_ever_run_again() {
    let fixture = Fixture::on(ENGINE);
    for number in [1, 2] {
        fixture.write(move |tx| blobs::adopt(tx, (&digest(number), None), 10, NOW));
    }
    together(&fixture, |handle, number| {
        let order = if number % 2 == 0 { [1, 2] } else { [2, 1] };
        for _ in 0..20 {
            handle
                .write_blocking(move |tx| {
                    for blob in order {
                        blobs::lock_present(tx, &[digest(blob)], NOW)?;
                        // the other one gets its first row meanwhile
                        settings::get(tx, "nothing")?;
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
        }
    });
    for number in [1, 2] {
        let blob = fixture.read(move |tx| blobs::find(tx, &digest(number))).unwrap();
        assert_eq!(blob.generation, 60);
    }
}

#[test]
fn a_tag_that_many_move_at_once_ends_where_its_history_ends() {
    let fixture = Fixture::on(ENGINE);
    let repository = fixture.repository("a").id;
    for number in 0..3 {
        fixture.manifest(repository, digest(number), &[]);
    }
    together(&fixture, |handle, number| {
        for _ in 0..10 {
            let named = digest(u32::try_from(number).unwrap());
            handle
                .write_blocking(move |tx| {
                    let latest = tag("latest");
                    let manifest = wharf_metadata::manifests::head(tx, repository, &named)?.unwrap();
                    let change = crate::fixture::change(repository, &latest, tags::Action::Pushed, NOW);
                    tags::put(tx, &change, manifest.id, &named)
                })
                .unwrap();
        }
    });
    let (target, last) = fixture.read(|tx| {
        let target = tags::get(tx, repository, &tag("latest"))?.unwrap();
        let last = tags::history(tx, repository, &tag("latest"), None, 1)?.remove(0);
        Ok((target.digest, last.digest))
    });
    assert_eq!(target, last);
}

#[test]
fn of_many_owners_that_claim_at_once_the_last_one_writes() {
    // Of an index that is a file the handles are one process, which claims once.
    if ENGINE == Engine::Sqlite {
        return;
    }
    let fixture = Fixture::on(ENGINE);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let outcomes = together(&fixture, |handle, number| {
        let claimed = runtime.block_on(handle.claim(&format!("process {number}"), "a test", NOW));
        (claimed.unwrap(), handle.clone())
    });
    let mut numbers: Vec<i64> = outcomes.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3], "each number is given once");
    for (number, handle) in outcomes {
        let written = handle.write_blocking(|tx| settings::set(tx, "a", b"1"));
        match written {
            Ok(()) => assert_eq!(number, 3),
            Err(error) => assert_eq!((error.kind(), number < 3), (Kind::Fenced, true), "{error}"),
        }
    }
}

/// Checks what another handle may change meanwhile, and locks it for that.
#[test]
fn what_is_locked_stays_as_it_is_until_the_job_ends() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(move |tx| blobs::adopt(tx, (&digest(1), None), 10, NOW));
    let swap = |tx: &mut Tx<'_>| {
        let absent = blobs::lock_present(tx, &[digest(1)], NOW)?;
        assert!(absent.is_empty());
        let before = settings::get_text(tx, "count")?.map_or(0, |text| text.parse::<u32>().unwrap());
        settings::set(tx, "count", (before + 1).to_string().as_bytes())
    };
    together(&fixture, |handle, _| {
        for _ in 0..20 {
            handle.write_blocking(swap).unwrap();
        }
    });
    let count = fixture.read(|tx| settings::get_text(tx, "count"));
    assert_eq!(count.as_deref(), Some("60"));
}
