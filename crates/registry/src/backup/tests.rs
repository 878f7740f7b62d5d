use std::io::{Read as _, Write as _};
use std::sync::Arc;

use wharf_metadata::sqlite::Config;
use wharf_metadata::users::{self, NewUser};
use wharf_metadata::{Metadata, Timestamp, settings};
use wharf_test_support::ManualClock;

use super::seal::{MAGIC, Opener, Sealer};
use super::*;
use crate::Random;

fn random() -> Random {
    wharf_test_support::random(7)
}

fn key() -> BackupKey {
    BackupKey::generate(&random()).unwrap()
}

fn other_key() -> BackupKey {
    BackupKey::generate(&wharf_test_support::random(8)).unwrap()
}

#[test]
fn a_key_is_read_as_it_was_written_and_nothing_else_is_one() {
    let key = key();
    let text = key.to_text();
    let again = BackupKey::parse(&format!("\n{}\n", text.as_str())).unwrap();
    assert_eq!(again.id(), key.id());
    assert_ne!(key.id(), other_key().id());
    for wrong in [
        "",
        "secret",
        "wharf-backup-key-1:",
        "wharf-backup-key-1:????",
        "wharf-backup-key-1:AAAA",
    ] {
        assert!(
            matches!(BackupKey::parse(wrong), Err(Error::MalformedKey(_))),
            "{wrong}"
        );
    }
    let cut = &text[..text.len() - 2];
    let error = BackupKey::parse(cut).unwrap_err().to_string();
    assert!(!error.contains(&cut[25..]), "{error}");
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = key();
    let secret = key.to_text().trim_start_matches("wharf-backup-key-1:").to_owned();
    assert!(!format!("{key:?}").contains(&secret));
    assert!(!secret.contains(key.id()));
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), &key(), &random()).unwrap();
    sealer.write_all(content).unwrap();
    sealer.finish().unwrap()
}

fn open(sealed: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let (magic, rest) = sealed.split_at_checked(MAGIC.len()).ok_or("too short")?;
    assert_eq!(magic, MAGIC);
    let mut content = Vec::new();
    let mut opener = Opener::new(rest, Some(&key())).map_err(|error| error.to_string())?;
    opener.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

#[test]
fn what_was_sealed_is_opened_whatever_its_length() {
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let content: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
        assert!(open(&sealed(&content)).unwrap() == content, "{length}");
    }
}

#[test]
fn a_sealed_file_that_lost_or_swapped_a_piece_is_not_opened() {
    let content = vec![5; 3 * 65_536 + 10];
    let whole = sealed(&content);
    let (header, piece) = (60, 65_552);
    let part = |number: usize| &whole[header + number * piece..(header + (number + 1) * piece).min(whole.len())];
    let put = |parts: &[&[u8]]| [&whole[..header], &parts.concat()].concat();
    assert!(open(&put(&[part(0), part(1), part(2), part(3)])).is_ok());
    for parts in [
        vec![part(0), part(1), part(2)],
        vec![part(0)],
        vec![],
        vec![part(1), part(0), part(2), part(3)],
        vec![part(0), part(2), part(3)],
        vec![part(0), part(1), part(2), part(3), part(3)],
        vec![part(3)],
    ] {
        assert!(open(&put(&parts)).is_err());
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(open(&longer).is_err());
}

#[test]
fn equal_files_are_sealed_differently() {
    let random = random();
    let seal = || {
        let mut sealer = Sealer::new(Vec::new(), &key(), &random).unwrap();
        sealer.write_all(b"the same").unwrap();
        sealer.finish().unwrap()
    };
    let (one, two) = (seal(), seal());
    assert_ne!(one[60..], two[60..]);
}

/// An index with a user, in a folder of its own.
async fn index() -> (Metadata, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let metadata = Metadata::open_sqlite(Config::new(folder.path().join("index.db"))).unwrap();
    metadata
        .write(|tx| {
            settings::set(tx, "storage.identity", b"here")?;
            let user = NewUser {
                name: "alice",
                password_hash: "argon-secret-hash",
                is_admin: true,
                must_change: false,
            };
            users::create(tx, user, Timestamp(5))
        })
        .await
        .unwrap();
    (metadata, folder)
}

fn backups(metadata: &Metadata, key: Option<BackupKey>) -> Backups {
    Backups::new(
        metadata.clone(),
        key.map(Arc::new),
        ManualClock::default().clock(),
        random(),
    )
}

async fn saved(key: Option<BackupKey>) -> Vec<u8> {
    let (metadata, folder) = index().await;
    let path = folder.path().join("one.backup");
    backups(&metadata, key)
        .create(&path, Sealing::WhereThereIsAKey)
        .await
        .unwrap();
    std::fs::read(path).unwrap()
}

fn verify(bytes: &[u8], key: Option<&BackupKey>) -> Result<Totals> {
    Opened::new(std::io::Cursor::new(bytes.to_vec()), key)?.verify()
}

#[tokio::test]
async fn a_plain_backup_says_what_it_is_and_what_it_holds() {
    let bytes = saved(None).await;
    let opened = Opened::new(std::io::Cursor::new(bytes), None).unwrap();
    assert!(!opened.is_encrypted());
    let header = opened.header().clone();
    assert_eq!(header.storage.as_deref(), Some("here"));
    assert_eq!(header.wharf, env!("CARGO_PKG_VERSION"));
    assert_eq!(header.at, ManualClock::default().now());
    let totals = opened.verify().unwrap();
    assert_eq!(totals.rows["users"], 1);
    assert_eq!(totals.sequences["users"], 1);
}

#[tokio::test]
async fn an_encrypted_backup_needs_its_key_and_shows_nothing_without_it() {
    let bytes = saved(Some(key())).await;
    assert!(verify(&bytes, Some(&key())).is_ok());
    let error = verify(&bytes, None).unwrap_err();
    assert!(
        matches!(&error, Error::NeedsKey { needed } if needed == key().id()),
        "{error}"
    );
    let error = verify(&bytes, Some(&other_key())).unwrap_err();
    assert!(matches!(&error, Error::WrongKey { .. }), "{error}");
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("alice") && !text.contains("argon") && !text.contains("settings"));
}

/// Every byte of a file that it is put back from is altered once, and the file cut off before it.
async fn damage_everywhere(key: Option<BackupKey>) {
    let with = |key: &Option<BackupKey>| key.as_ref().map(|key| BackupKey::parse(&key.to_text()).unwrap());
    let bytes = saved(with(&key)).await;
    assert!(verify(&bytes, key.as_ref()).is_ok());
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 0x01;
        assert!(verify(&altered, key.as_ref()).is_err(), "byte {position} altered");
        assert!(
            verify(&bytes[..position], key.as_ref()).is_err(),
            "cut before byte {position}"
        );
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(verify(&longer, key.as_ref()).is_err(), "a byte behind the end");
}

#[tokio::test]
async fn a_plain_backup_that_was_altered_or_cut_anywhere_is_refused() {
    damage_everywhere(None).await;
}

#[tokio::test]
async fn an_encrypted_backup_that_was_altered_or_cut_anywhere_is_refused() {
    damage_everywhere(Some(key())).await;
}

#[tokio::test]
async fn damage_is_told_in_words() {
    let bytes = saved(None).await;
    let told = |bytes: &[u8]| verify(bytes, None).unwrap_err().to_string();
    assert_eq!(told(b"PK\x03\x04 some zip file"), "this is not a backup of wharf");
    assert_eq!(told(b""), "this is not a backup of wharf");
    assert!(told(&bytes[..bytes.len() - 1]).contains("its end is missing"));
    let mut altered = bytes.clone();
    let middle = bytes.len() / 2;
    altered[middle] ^= 1;
    assert!(told(&altered).contains("a part of it was altered"));
}

#[test]
fn a_later_format_and_a_later_schema_are_refused_by_name() {
    let header = |format, schema| Header {
        format,
        wharf: "9.9.9".into(),
        schema,
        storage: None,
        epoch: 0,
        is_complete: false,
        at: ManualClock::default().now(),
    };
    let bytes = |header: &Header| {
        let writer = format::Writer::new(Vec::new(), header).unwrap();
        writer.finish(Vec::new()).unwrap().0
    };
    verify(&bytes(&header(1, 1)), None).unwrap();
    let error = verify(&bytes(&header(2, 1)), None).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1 }), "{error}");
    let error = verify(&bytes(&header(1, 999)), None).unwrap_err();
    assert!(error.to_string().contains("it has schema 999"), "{error}");
}

#[tokio::test]
async fn the_file_appears_whole_readable_by_nobody_else_and_replaces_an_older_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let (metadata, folder) = index().await;
    let path = folder.path().join("one.backup");
    std::fs::write(&path, "old").unwrap();
    backups(&metadata, None).create(&path, Sealing::Plain).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(verify(&std::fs::read(&path).unwrap(), None).is_ok());
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Takes so many bytes and says then that the disk is full.
struct FullAfter(usize);

impl std::io::Write for FullAfter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_disk_that_is_full_anywhere_fails_the_backup() {
    let (metadata, _folder) = index().await;
    for key in [None, Some(key())] {
        let backups = backups(&metadata, key);
        for room in [0, 100] {
            let error = backups
                .write(FullAfter(room), Sealing::WhereThereIsAKey)
                .await
                .unwrap_err();
            assert!(
                matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn who_takes_a_backup_away_is_in_the_audit_log_and_in_the_backup() {
    let (metadata, _folder) = index().await;
    let taker = Taker {
        name: "admin",
        address: "192.0.2.7",
    };
    let (file, created) = backups(&metadata, None).hand_out(taker, Sealing::Plain).await.unwrap();
    assert_eq!(Opened::new(file, None).unwrap().verify().unwrap(), created.totals);
    assert_eq!(created.totals.rows["audit_log"], 1);
    let lines = metadata
        .read(|tx| wharf_metadata::audit_log::page(tx, None, 10))
        .await
        .unwrap();
    assert_eq!(
        (lines[0].action.as_str(), lines[0].actor.as_str()),
        ("backup.create", "admin")
    );
}
