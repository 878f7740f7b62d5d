//! Transactions: all or nothing, one snapshot, neighbours.

use std::sync::{Arc, Barrier};

use wharf_metadata::error::Kind;
use wharf_metadata::{Error, Timestamp, Tx, settings};

use super::ENGINE;
use crate::fixture::Fixture;

/// An error of a caller's own.
#[derive(Debug)]
enum Refused {
    ByCaller(usize),
    ByIndex(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::ByIndex(error)
    }
}

fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    settings::get_text(tx, name)
}

#[test]
fn a_job_that_fails_in_a_group_does_not_undo_its_neighbours() {
    let fixture = Fixture::on(ENGINE);
    let started = Arc::new(Barrier::new(2));
    // the first job holds the writer until all others are queued: they become one group
    let (release, held) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let first = Arc::clone(&started);
        let metadata = &fixture.metadata;
        scope.spawn(move || {
            metadata.write_blocking(move |_| {
                first.wait();
                held.recv().unwrap();
                Ok::<(), Error>(())
            })
        });
        started.wait();
        let jobs: Vec<_> = (0..40)
            .map(|number| {
                scope.spawn(move || {
                    let name = format!("job {number}");
                    metadata.write_blocking(move |tx| {
                        settings::set(tx, &name, b"done")?;
                        match number % 4 {
                            1 => Err(Refused::ByCaller(number)),
                            3 => panic!("job {number} breaks, as the test wants"),
                            _ => Ok(number),
                        }
                    })
                })
            })
            .collect();
        release.send(()).unwrap();
        for (number, job) in jobs.into_iter().enumerate() {
            match (number % 4, job.join().unwrap()) {
                (0 | 2, Ok(answer)) => assert_eq!(answer, number),
                (1, Err(Refused::ByCaller(answer))) => assert_eq!(answer, number),
                (3, Err(Refused::ByIndex(error))) => assert!(error.to_string().contains("panicked")),
                other => panic!("{other:?}"),
            }
        }
    });
    for number in 0..40 {
        let found = fixture.read(|tx| get(tx, &format!("job {number}")));
        assert_eq!(found.is_some(), number % 2 == 0, "job {number}");
    }
}

#[test]
fn a_read_sees_one_snapshot_while_writes_go_on() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(|tx| settings::set(tx, "a", b"1"));
    fixture.read(|tx| {
        assert_eq!(get(tx, "a")?.as_deref(), Some("1"));
        fixture.write(|tx| settings::set(tx, "a", b"2"));
        assert_eq!(get(tx, "a")?.as_deref(), Some("1"));
        Ok(())
    });
    assert_eq!(fixture.read(|tx| get(tx, "a")).as_deref(), Some("2"));
}

#[test]
fn nothing_can_be_written_inside_a_read() {
    let fixture = Fixture::on(ENGINE);
    let error = fixture
        .metadata
        .read_blocking(|tx| settings::set(tx, "a", b"1"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::ReadOnly);
    assert_eq!(error.operation(), "write a setting");
}

#[tokio::test]
async fn a_job_runs_although_nobody_waits_for_it_any_more() {
    let fixture = Fixture::on(ENGINE);
    let metadata = fixture.metadata.clone();
    {
        let write = metadata.write(|tx| settings::set(tx, "a", b"1"));
        tokio::pin!(write);
        // polled once, then dropped
        tokio::select! {
            biased;
            _ = &mut write => {}
            () = std::future::ready(()) => {}
        }
    }
    while metadata.read_long(|tx| get(tx, "a")).await.unwrap().is_none() {
        // a server runs it beside others
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_closed_index_opens_again_with_everything_in_it() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(|tx| settings::set(tx, "a", b"1"));
    fixture.metadata.close();
    assert!(!fixture.metadata.is_writable());
    let error = fixture
        .metadata
        .write_blocking(|tx| settings::set(tx, "a", b"2"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::ReadOnly);
    let again = fixture.open();
    assert_eq!(again.read_blocking(|tx| get(tx, "a")).unwrap().as_deref(), Some("1"));
}

#[test]
fn a_setting_that_is_set_by_two_keeps_the_first_value() {
    let fixture = Fixture::on(ENGINE);
    assert_eq!(
        fixture.write(|tx| settings::get_or_set(tx, "secret", b"first")),
        b"first"
    );
    assert_eq!(
        fixture.write(|tx| settings::get_or_set(tx, "secret", b"second")),
        b"first"
    );
    fixture.write(|tx| settings::set(tx, "secret", &[0xff]));
    let error = fixture.metadata.read_blocking(|tx| get(tx, "secret")).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    fixture.write(|tx| settings::remove(tx, "secret"));
    assert_eq!(fixture.read(|tx| settings::get(tx, "secret")), None);
}

#[test]
fn times_survive_the_way_to_the_index_and_back() {
    let time: jiff::Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
    assert_eq!(Timestamp::from(time).to_jiff(), time);
    assert_eq!(Timestamp(i64::MAX).to_jiff(), jiff::Timestamp::MAX);
}
