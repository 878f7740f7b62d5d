//! Upload sessions (consistency rule 6).

use wharf_metadata::error::Kind;
use wharf_metadata::uploads::{self, At};

use super::ENGINE;
use crate::fixture::Fixture;

fn start(fixture: &Fixture, id: &'static str) -> i64 {
    let repository = fixture.repository("team/app").id;
    let now = fixture.now();
    fixture.write(move |tx| uploads::create(tx, id, repository, b"start", now));
    repository
}

#[test]
fn a_session_moves_on_only_from_where_it_stands() {
    let fixture = Fixture::on(ENGINE);
    let repository = start(&fixture, "one");
    let now = fixture.now();
    let taken = fixture
        .write(move |tx| uploads::take_epoch(tx, repository, "one", now))
        .unwrap();
    assert_eq!(
        (taken.epoch, taken.received, taken.state.as_slice()),
        (1, 0, b"start".as_slice())
    );
    let advance = |epoch, from, to| {
        let at = At {
            id: "one",
            epoch,
            received: from,
        };
        fixture.write(move |tx| uploads::advance(tx, at, to, b"more", now))
    };
    assert!(advance(1, 0, 10));
    assert!(!advance(1, 0, 20), "a stale offset");
    assert!(!advance(0, 10, 20), "an older request");
    assert!(advance(1, 10, 20));
    let found = fixture.read(|tx| uploads::find(tx, repository, "one")).unwrap();
    assert_eq!(
        (found.epoch, found.received, found.state.as_slice()),
        (1, 20, b"more".as_slice())
    );

    let finish = |epoch, received| {
        let at = At {
            id: "one",
            epoch,
            received,
        };
        fixture.write(move |tx| uploads::finish(tx, at))
    };
    assert!(!finish(1, 10));
    assert!(finish(1, 20));
    assert!(!finish(1, 20));
    assert_eq!(
        fixture.write(move |tx| uploads::take_epoch(tx, repository, "one", now)),
        None
    );
}

#[test]
fn of_many_requests_on_one_session_exactly_one_moves_it() {
    let fixture = Fixture::on(ENGINE);
    let repository = start(&fixture, "one");
    let now = fixture.now();
    let moved: Vec<_> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..16_u64)
            .map(|number| {
                let fixture = &fixture;
                scope.spawn(move || {
                    let taken = fixture
                        .write(move |tx| uploads::take_epoch(tx, repository, "one", now))
                        .unwrap();
                    let at = At {
                        id: "one",
                        epoch: taken.epoch,
                        received: taken.received,
                    };
                    let moved = fixture.write(move |tx| {
                        // all take the session before the first moves it
                        let newest = uploads::find(tx, repository, "one")?.unwrap().epoch;
                        if newest < 16 {
                            return Ok(None);
                        }
                        uploads::advance(tx, at, 100 + number, b"more", now).map(Some)
                    });
                    (taken.epoch, moved, 100 + number)
                })
            })
            .collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let mut epochs: Vec<_> = moved.iter().map(|(epoch, ..)| *epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=16).collect::<Vec<_>>(), "each request has its own epoch");
    let winners: Vec<_> = moved.iter().filter(|(_, moved, _)| *moved == Some(true)).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(winners[0].0, 16, "the newest request wins");
    let found = fixture.read(|tx| uploads::find(tx, repository, "one")).unwrap();
    assert_eq!(found.received, winners[0].2);
}

#[test]
fn a_session_belongs_to_its_repository_and_its_id_is_its_own() {
    let fixture = Fixture::on(ENGINE);
    let repository = start(&fixture, "one");
    let other = fixture.repository("team/other").id;
    let now = fixture.now();
    assert_eq!(fixture.read(|tx| uploads::find(tx, other, "one")), None);
    assert_eq!(
        fixture.write(move |tx| uploads::take_epoch(tx, other, "one", now)),
        None
    );
    assert!(!fixture.write(move |tx| uploads::delete(tx, other, "one")));
    let error = fixture
        .metadata
        .write_blocking(move |tx| uploads::create(tx, "one", other, b"", now))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unique);
    assert_eq!(
        fixture.read(|tx| uploads::find(tx, repository, "one")).unwrap().epoch,
        0
    );
    assert!(fixture.read(|tx| uploads::exists(tx, "one")));
    assert!(fixture.write(move |tx| uploads::delete(tx, repository, "one")));
    assert!(!fixture.read(|tx| uploads::exists(tx, "one")));
}

#[test]
fn idle_sessions_are_found_the_longest_idle_first() {
    let fixture = Fixture::on(ENGINE);
    let repository = start(&fixture, "one");
    start(&fixture, "two");
    start(&fixture, "three");
    let now = fixture.now();
    fixture.write(move |tx| uploads::take_epoch(tx, repository, "one", now));
    let stale = |older_than, limit| {
        let found = fixture.read(|tx| uploads::stale(tx, older_than, limit));
        found.into_iter().map(|upload| upload.id).collect::<Vec<_>>()
    };
    assert_eq!(stale(now, 10), ["two", "three"]);
    assert_eq!(stale(now.plus(1), 1), ["two"]);
}
