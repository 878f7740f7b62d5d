use std::sync::Arc;

use wharf_access::Visibility;
use wharf_metadata::repositories::{self, State as Indexed};
use wharf_metadata::sqlite::Config;
use wharf_metadata::transfer::{self, Origin};
use wharf_metadata::users::{self, NewUser};
use wharf_metadata::{Timestamp as Time, adoption, blobs, settings};
use wharf_oci::Digest;
use wharf_storage::StateName;
use wharf_test_support::ManualClock;

use super::*;
use crate::backup::{Error, Restore};

const DELAY: Duration = Duration::from_secs(60);
const KEEP: usize = 3;

fn key(seed: u64) -> Arc<BackupKey> {
    Arc::new(BackupKey::generate(&wharf_test_support::random(seed)).unwrap())
}

/// An index, and a storage that outlives it.
struct Place {
    metadata: Metadata,
    storage: Storage,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with(Storage::memory())
    }

    fn with(storage: Storage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metadata = Metadata::open_sqlite(Config::new(folder.path().join("index.db"))).unwrap();
        Self {
            metadata,
            storage,
            clock: ManualClock::default(),
            _folder: folder,
        }
    }

    /// The same storage, with its index lost.
    fn after_a_loss(&self) -> Self {
        Self {
            clock: self.clock.clone(),
            ..Self::with(self.storage.clone())
        }
    }

    fn snapshots(&self, key: &Arc<BackupKey>) -> Snapshots {
        let parts = SnapshotParts {
            metadata: self.metadata.clone(),
            storage: self.storage.clone(),
            key: Arc::clone(key),
            clock: self.clock.clock(),
            random: wharf_test_support::random(self.clock.now().as_millisecond().unsigned_abs()),
        };
        Snapshots::new(
            parts,
            SnapshotRules {
                delay: DELAY,
                keep: KEEP,
            },
        )
    }

    async fn user(&self, name: &'static str) {
        let made = self.metadata.write(move |tx| {
            let user = NewUser {
                name,
                password_hash: "argon-secret-hash",
                is_admin: false,
                must_change: false,
            };
            users::create(tx, user, Time(5))
        });
        let _id: i64 = made.await.unwrap();
    }

    async fn repository(&self, name: &str) {
        let name = name.parse().unwrap();
        let made = self
            .metadata
            .write(move |tx| repositories::find_or_create(tx, &name, Indexed::Indexed(7), Time(5)));
        made.await.unwrap();
    }

    async fn restore(&self, key: &BackupKey) -> Result<Option<Recovered>> {
        let how = Restore {
            force: false,
            storage: None,
            epoch: 40,
            now: self.clock.now(),
        };
        restore_snapshot(&self.metadata, &self.storage, (Choice::Newest, key), how).await
    }

    async fn has_user(&self, name: &'static str) -> bool {
        let found = self.metadata.read(move |tx| users::find(tx, name)).await.unwrap();
        found.is_some_and(|user| user.password_hash == "argon-secret-hash")
    }

    /// Every file of every snapshot.
    async fn files(&self) -> Vec<StateName> {
        let mut files = Vec::new();
        for folder in ["snapshots", "snapshots/parts"] {
            let folder = StateName::new(folder).unwrap();
            files.extend(self.storage.state().list(&folder).await.unwrap());
        }
        files
    }
}

#[tokio::test]
async fn accounts_are_saved_within_seconds_and_the_rest_within_the_delay() {
    let (place, key) = (Place::new(), key(1));
    let snapshots = place.snapshots(&key);
    assert!(matches!(snapshots.look().await.unwrap(), Outcome::Made { .. }));
    assert_eq!(snapshots.look().await.unwrap(), Outcome::NotDue);
    place.user("alice").await;
    assert_eq!(snapshots.look().await.unwrap(), Outcome::NotDue);
    place.clock.advance(Duration::from_secs(2));
    assert!(matches!(snapshots.look().await.unwrap(), Outcome::Made { .. }));
    place.repository("team/app").await;
    // its project is a right, and was saved with it
    snapshots.look().await.unwrap();
    place.clock.advance(Duration::from_secs(2));
    assert!(matches!(snapshots.look().await.unwrap(), Outcome::Made { .. }));
    place.repository("team/other").await;
    assert_eq!(snapshots.look().await.unwrap(), Outcome::NotDue);
    place.clock.advance(DELAY - Duration::from_secs(1));
    assert_eq!(snapshots.look().await.unwrap(), Outcome::NotDue);
    place.clock.advance(Duration::from_secs(1));
    assert!(matches!(snapshots.look().await.unwrap(), Outcome::Made { .. }));
}

#[tokio::test]
async fn what_is_saved_already_is_not_written_again() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice").await;
    let snapshots = place.snapshots(&key);
    assert!(matches!(snapshots.look().await.unwrap(), Outcome::Made { .. }));
    let files = place.files().await;
    place.metadata.write(|tx| settings::set(tx, "a", b"b")).await.unwrap();
    place.metadata.write(|tx| settings::remove(tx, "a")).await.unwrap();
    snapshots.look().await.unwrap();
    place.clock.advance(DELAY);
    assert_eq!(snapshots.look().await.unwrap(), Outcome::Unchanged);
    // neither by the next process
    assert_eq!(place.snapshots(&key).look().await.unwrap(), Outcome::Unchanged);
    assert_eq!(place.files().await, files);
    assert_eq!(snapshots.finish().await.unwrap(), Outcome::NotDue);
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_nothing() {
    let (place, key) = (Place::new(), key(1));
    let snapshots = place.snapshots(&key);
    snapshots.look().await.unwrap();
    place.user("alice").await;
    assert!(matches!(snapshots.finish().await.unwrap(), Outcome::Made { .. }));
    let lost = place.after_a_loss();
    lost.restore(&key).await.unwrap().unwrap();
    assert!(lost.has_user("alice").await);
}

#[tokio::test]
async fn an_index_that_is_lost_is_gone_on_with_from_the_newest_snapshot() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice").await;
    place.repository("team/app").await;
    let bytes = Digest::Sha256([7; 32]);
    place
        .metadata
        .write(move |tx| {
            repositories::set_visibility(tx, "team", Visibility::Public)?;
            blobs::adopt(tx, (&bytes, None), 10, Time(5))?;
            let epoch = adoption::begin_pass(tx, 0, Time(5))?;
            adoption::complete_pass(tx, epoch)
        })
        .await
        .unwrap();
    place.snapshots(&key).look().await.unwrap();

    let lost = place.after_a_loss();
    let recovered = lost.restore(&key).await.unwrap().unwrap();
    assert_eq!(recovered.totals.rows["users"], 1);
    assert!(recovered.skipped.is_empty());
    assert!(lost.has_user("alice").await);
    let (repository, completeness, blob) = lost
        .metadata
        .read(move |tx| {
            let repository = repositories::find(tx, &"team/app".parse().unwrap())?;
            Ok::<_, wharf_metadata::Error>((repository, adoption::completeness(tx)?, blobs::find(tx, &bytes)?))
        })
        .await
        .unwrap();
    let repository = repository.unwrap();
    assert_eq!(repository.visibility, Visibility::Public);
    assert_eq!(repository.state, Indexed::Unindexed);
    assert!(
        !completeness.is_complete && completeness.epoch == 41,
        "{completeness:?}"
    );
    assert_eq!(blob, None, "the storage knows its blobs best");
    // it is the same index, so its snapshots go on
    lost.snapshots(&key).look().await.unwrap();
    let lineages: HashSet<String> = find(&lost.storage)
        .await
        .unwrap()
        .into_iter()
        .map(|found| found.lineage)
        .collect();
    assert_eq!(lineages.len(), 1);
}

#[tokio::test]
async fn what_was_cut_off_while_it_went_on_from_a_snapshot_begins_again() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice").await;
    place.snapshots(&key).look().await.unwrap();
    let lost = place.after_a_loss();
    let begun = lost.metadata.write(|tx| transfer::begin(tx, Origin::Snapshot, false));
    begun.await.unwrap();
    lost.user("half").await;
    let unfinished = lost.metadata.read(transfer::unfinished);
    assert_eq!(unfinished.await.unwrap(), Some(Origin::Snapshot));
    lost.restore(&key).await.unwrap().unwrap();
    assert!(lost.has_user("alice").await);
    assert!(!lost.has_user("half").await);
    let unfinished = lost.metadata.read(transfer::unfinished);
    assert_eq!(unfinished.await.unwrap(), None);
}

#[tokio::test]
async fn without_the_right_key_nothing_is_loaded_and_the_needed_one_is_named() {
    let (place, right, wrong) = (Place::new(), key(1), key(2));
    place.user("alice").await;
    place.snapshots(&right).look().await.unwrap();
    let lost = place.after_a_loss();
    let error = lost.restore(&wrong).await.unwrap_err();
    assert!(
        matches!(&error, Error::WrongKey { needed, .. } if needed == right.id()),
        "{error}"
    );
    assert!(!lost.has_user("alice").await);
    let found = find(&lost.storage).await.unwrap();
    assert_eq!(found[0].key.as_deref(), Some(right.id()));
    let nothing = Place::new();
    assert!(nothing.restore(&right).await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_of_a_snapshot_is_in_clear() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice-the-first").await;
    place.repository("secret/project").await;
    place.snapshots(&key).look().await.unwrap();
    let secret = key.to_text().trim_start_matches("wharf-backup-key-1:").to_owned();
    for file in place.files().await {
        let bytes = place.storage.state().read(&file).await.unwrap().unwrap();
        let text = format!("{}{}", file.as_str(), String::from_utf8_lossy(&bytes));
        for word in [
            "alice",
            "argon",
            "secret",
            "project",
            "users",
            "settings",
            "storage.identity",
            &secret,
        ] {
            assert!(!text.contains(word), "{word} in {}", file.as_str());
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_was_altered_anywhere_is_not_loaded_but_the_one_before_is() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice").await;
    let snapshots = place.snapshots(&key);
    snapshots.look().await.unwrap();
    let before = place.files().await;
    place.user("bob").await;
    place.clock.advance(Duration::from_secs(10));
    snapshots.look().await.unwrap();
    place.clock.advance(Duration::from_secs(10));
    snapshots.look().await.unwrap();
    let new: Vec<_> = place
        .files()
        .await
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    assert!(new.len() >= 2, "a list and a part");
    for file in new {
        let whole = place.storage.state().read(&file).await.unwrap().unwrap();
        for position in (0..whole.len()).step_by(31) {
            let mut altered = whole.to_vec();
            altered[position] ^= 1;
            place.storage.state().write(&file, altered.into()).await.unwrap();
            let lost = place.after_a_loss();
            let recovered = lost.restore(&key).await.unwrap().unwrap();
            assert_eq!(recovered.skipped.len(), 1, "byte {position} of {}", file.as_str());
            assert!(lost.has_user("alice").await && !lost.has_user("bob").await);
        }
        place.storage.state().write(&file, whole).await.unwrap();
    }
    let lost = place.after_a_loss();
    lost.restore(&key).await.unwrap().unwrap();
    assert!(lost.has_user("bob").await);
}

#[tokio::test]
async fn only_the_newest_snapshots_and_what_they_need_stay() {
    let (place, key) = (Place::new(), key(1));
    let snapshots = place.snapshots(&key);
    for number in 0_u32..20 {
        place
            .metadata
            .write(move |tx| settings::set(tx, "number", &number.to_be_bytes()))
            .await
            .unwrap();
        snapshots.look().await.unwrap();
        place.clock.advance(Duration::from_secs(10));
        snapshots.look().await.unwrap();
    }
    assert_eq!(find(&place.storage).await.unwrap().len(), KEEP);
    let parts = place.files().await.len() - KEEP;
    assert!(parts <= 2 * KEEP + 2, "{parts}");
    let lost = place.after_a_loss();
    lost.restore(&key).await.unwrap().unwrap();
    let number = lost.metadata.read(|tx| settings::get(tx, "number")).await.unwrap();
    assert_eq!(number, Some(19_u32.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn an_index_that_began_anew_does_not_push_out_the_snapshots_of_the_old_one() {
    let (place, key) = (Place::new(), key(1));
    place.user("alice").await;
    place.snapshots(&key).look().await.unwrap();
    // chance comes from the clock here
    place.clock.advance(DELAY);
    let anew = place.after_a_loss();
    let snapshots = anew.snapshots(&key);
    for number in 0_u32..10 {
        anew.metadata
            .write(move |tx| settings::set(tx, "number", &number.to_be_bytes()))
            .await
            .unwrap();
        snapshots.look().await.unwrap();
        anew.clock.advance(Duration::from_secs(10));
        snapshots.look().await.unwrap();
    }
    let found = find(&anew.storage).await.unwrap();
    let of = |lineage: &str| found.iter().filter(|found| found.lineage == lineage).count();
    assert_eq!((of(&found[0].lineage), found.len()), (KEEP, KEEP + 1));
    // and the old one is whole
    for found in &found[..KEEP] {
        anew.storage
            .state()
            .remove(&StateName::new(&found.file).unwrap())
            .await
            .unwrap();
    }
    let lost = anew.after_a_loss();
    lost.restore(&key).await.unwrap().unwrap();
    assert!(lost.has_user("alice").await);
}
