use std::time::Duration;

use wharf_metadata::Metadata;
use wharf_metadata::sqlite::Config;
use wharf_test_support::ManualClock;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn into(folder: &Path, index: &Path, clock: &ManualClock) -> BackupFolder {
    let metadata = Metadata::open_sqlite(Config::new(index.join("index.db"))).unwrap();
    let random = wharf_test_support::random(1);
    BackupFolder {
        backups: Backups::new(metadata, None, clock.clock(), random),
        folder: folder.to_owned(),
        keep: 2,
    }
}

#[tokio::test]
async fn the_newest_backups_stay_and_files_of_others_are_left_alone() {
    let (folder, index, clock) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        ManualClock::default(),
    );
    let others = ["monday.backup", "wharf-2026.backup", "wharf-20261121T153226Z.backup.gz"];
    for other in others {
        fs::write(folder.path().join(other), "mine").unwrap();
    }
    let backups = into(folder.path(), index.path(), &clock);
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(backups.make(clock.now()).await.unwrap().0);
        clock.advance(Duration::from_secs(3_600));
    }
    let mut expected: Vec<String> = others.iter().map(|&other| other.to_owned()).collect();
    expected.extend(made.split_off(2));
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let (folder, index, clock) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        ManualClock::default(),
    );
    let missing = folder.path().join("not-mounted");
    let error = into(&missing, index.path(), &clock)
        .make(clock.now())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound),
        "{error}"
    );
    assert!(!missing.exists());
}

#[test]
fn what_a_killed_process_was_writing_goes_after_a_day_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join(format!("{UNFINISHED}abc"));
    fs::write(&left, "half").unwrap();
    let written = fs::metadata(&left).unwrap().modified().unwrap();
    let after = |hours: u64| jiff::Timestamp::try_from(written + Duration::from_secs(hours * 3_600)).unwrap();
    prune(folder.path(), 1, after(1)).unwrap();
    assert!(left.exists());
    prune(folder.path(), 1, after(25)).unwrap();
    assert!(!left.exists());
}
