//! What only an index in a file has: its files, and durability against a kill.

use wharf_metadata::error::Kind;
use wharf_metadata::sqlite::Config;
use wharf_metadata::transfer::{self, Purpose};
use wharf_metadata::{Error, Metadata, Tx, settings, uploads};

use super::ENGINE;
use crate::fixture::{Fixture, config, digest};

fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    settings::get_text(tx, name)
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let fixture = Fixture::on(ENGINE);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for number in 0..25 {
                    let name = format!("{writer}/{number}");
                    fixture.write(move |tx| settings::set(tx, &name, b"1"));
                }
            });
        }
    });
    // the files as they lie on the disk while the process lives: no checkpoint, no clean end
    let killed = tempfile::tempdir().unwrap();
    for file in ["index.db", "index.db-wal"] {
        std::fs::copy(fixture.folder().path().join(file), killed.path().join(file)).unwrap();
    }
    let again = Metadata::open_sqlite(config(&killed)).unwrap();
    for writer in 0..4 {
        for number in 0..25 {
            let found = again
                .read_blocking(|tx| get(tx, &format!("{writer}/{number}")))
                .unwrap();
            assert!(found.is_some(), "{writer}/{number}");
        }
    }
}

#[test]
fn a_torn_end_of_the_log_loses_only_what_was_not_acknowledged() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(|tx| settings::set(tx, "kept", b"1"));
    let log = fixture.folder().path().join("index.db-wal");
    let acknowledged = std::fs::metadata(&log).unwrap().len();
    fixture.write(|tx| settings::set(tx, "torn", b"1"));
    let torn = tempfile::tempdir().unwrap();
    std::fs::copy(fixture.folder().path().join("index.db"), torn.path().join("index.db")).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.truncate(usize::try_from(acknowledged).unwrap() + 100);
    std::fs::write(torn.path().join("index.db-wal"), bytes).unwrap();
    let again = Metadata::open_sqlite(config(&torn)).unwrap();
    assert!(again.read_blocking(|tx| get(tx, "kept")).unwrap().is_some());
    assert!(again.read_blocking(|tx| get(tx, "torn")).unwrap().is_none());
    again.write_blocking(|tx| settings::set(tx, "next", b"1")).unwrap();
}

#[tokio::test]
async fn a_checkpoint_copies_the_log_while_readers_and_writers_go_on() {
    let fixture = Fixture::on(ENGINE);
    let metadata = &fixture.metadata;
    for number in 0..20 {
        let name = format!("{number}");
        metadata
            .write(move |tx| settings::set(tx, &name, &[0; 4000]))
            .await
            .unwrap();
    }
    let done = metadata.checkpoint().await.unwrap();
    assert!(done.logged > 20 && done.copied == done.logged, "{done:?}");
    metadata.write(|tx| settings::set(tx, "after", b"1")).await.unwrap();
    let next = metadata.checkpoint().await.unwrap();
    assert!(next.logged < done.logged, "the log begins again: {next:?}");
}

#[test]
fn a_file_that_is_no_database_or_another_one_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are notes, not a database".repeat(100)).unwrap();
    let error = Metadata::open_sqlite(Config::new(&text)).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("these are notes"));
    let nowhere = folder.path().join("missing/index.db");
    let error = Metadata::open_sqlite(Config::new(nowhere)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn there_is_nothing_to_stand_by_without_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let error = Metadata::open_sqlite(config(&folder).standby()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!folder.path().join("index.db").exists(), "standing by makes no file");
}

#[test]
fn changes_of_what_the_storage_cannot_rebuild_are_counted_and_others_are_not() {
    let fixture = Fixture::on(ENGINE);
    let repository = fixture.repository("team/app").id;
    let counted = |change: &dyn Fn()| {
        let before = fixture.metadata.changes().unwrap();
        change();
        let after = fixture.metadata.changes().unwrap();
        (after.rights != before.rights, after.records != before.records)
    };
    let blob = || fixture.blob(repository, digest(1));
    assert_eq!(counted(&blob), (false, false));
    let upload = || {
        let now = fixture.now();
        fixture.write(move |tx| uploads::create(tx, "one", repository, b"", now));
    };
    assert_eq!(counted(&upload), (false, false));
    let setting = || fixture.write(|tx| settings::set(tx, "a", b"b"));
    assert_eq!(counted(&setting), (true, false));
    let history = || {
        fixture.manifest(repository, digest(5), &[]);
        fixture.tag(repository, "latest", digest(5));
    };
    assert_eq!(counted(&history), (false, true));
    let nothing = || {
        fixture.read(|tx| settings::get(tx, "a"));
    };
    assert_eq!(counted(&nothing), (false, false));
}

#[test]
fn a_change_shows_in_few_chunks() {
    let fixture = Fixture::on(ENGINE);
    let add = |from: u32, to: u32| {
        fixture.write(move |tx| {
            for number in from..to {
                settings::set(tx, &format!("setting {number:06}"), &number.to_be_bytes())?;
            }
            Ok(())
        });
    };
    let chunks = || {
        let mut chunks = Vec::new();
        fixture.read(|tx| {
            transfer::read_stable(tx, Purpose::Snapshot, |chunk| {
                chunks.push(chunk.encode());
                Ok::<_, Error>(())
            })
        });
        chunks
    };
    add(0, 20_000);
    let before = chunks();
    assert!(before.len() > 10, "{}", before.len());
    fixture.write(|tx| settings::remove(tx, "setting 000005"));
    add(20_000, 20_010);
    let new = chunks().into_iter().filter(|chunk| !before.contains(chunk)).count();
    assert!((1..=3).contains(&new), "{new}");
}
