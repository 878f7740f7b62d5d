//! An index on any engine and short ways to fill it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that fails must fail the test"
)]

use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;
use wharf_metadata::manifests::{Inserted, NewManifest, Reference, ReferenceKind};
use wharf_metadata::repositories::{Repository, State};
use wharf_metadata::sqlite::Config;
use wharf_metadata::tags::{Action, Change};
use wharf_metadata::{Error, Location, Metadata, Timestamp, Tx, blobs, links, manifests, repositories, tags};
use wharf_oci::descriptor::Annotations;
use wharf_oci::{Digest, RepositoryName, Tag};

use crate::databases::{self, Database};

/// What the index of a test lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Server(databases::Kind),
}

impl Engine {
    /// SQLite where the engine is not to be tested on.
    fn wanted(self) -> Self {
        match self {
            Self::Server(kind) if !databases::is_wanted(kind.name()) => Self::Sqlite,
            other => other,
        }
    }
}

/// An index with nothing in it, and a clock that only moves when it is told to.
pub struct Fixture {
    pub metadata: Metadata,
    place: Place,
    clock: AtomicI64,
}

enum Place {
    Folder(TempDir),
    Database(Database),
}

impl Place {
    fn location(&self) -> Location {
        match self {
            Self::Folder(folder) => Location::Sqlite(config(folder)),
            Self::Database(database) => Location::parse(&database.url()).unwrap(),
        }
    }
}

impl Fixture {
    pub fn on(engine: Engine) -> Self {
        let place = match engine.wanted() {
            Engine::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
            Engine::Server(kind) => Place::Database(kind.database()),
        };
        Self {
            metadata: Metadata::open(place.location()).unwrap(),
            place,
            clock: AtomicI64::new(1_000_000),
        }
    }

    /// Another handle on the same index.
    pub fn open(&self) -> Metadata {
        Metadata::open(self.place.location()).unwrap()
    }

    /// Another handle on the same index, that stands by.
    pub fn open_standby(&self) -> Metadata {
        let location = match self.place.location() {
            Location::Sqlite(config) => Location::Sqlite(config.standby()),
            Location::Server(config) => Location::Server(Box::new(config.standby())),
        };
        Metadata::open(location).unwrap()
    }

    /// The database of an index on a server.
    pub fn database(&self) -> &Database {
        match &self.place {
            Place::Database(database) => database,
            Place::Folder(_) => panic!("a test of servers runs on a file"),
        }
    }

    /// The folder of an index in a file.
    pub fn folder(&self) -> &TempDir {
        match &self.place {
            Place::Folder(folder) => folder,
            Place::Database(_) => panic!("a test of files runs on a server"),
        }
    }

    /// A later time than all before.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(1_000, Ordering::SeqCst))
    }

    pub fn read<T: Send>(&self, read: impl FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send) -> T {
        self.metadata.read_blocking(read).unwrap()
    }

    pub fn write<T: Send + 'static>(&self, job: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static) -> T {
        self.metadata.write_blocking(job).unwrap()
    }

    /// The same from inside an async test.
    pub fn write_in_thread<T: Send + 'static>(
        &self,
        job: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        std::thread::scope(|scope| scope.spawn(|| self.write(job)).join().unwrap())
    }

    /// An indexed repository.
    pub fn repository(&self, text: &str) -> Repository {
        let (name, now) = (name(text), self.now());
        self.write(move |tx| repositories::find_or_create(tx, &name, State::Indexed(0), now))
    }

    /// A present blob, linked to a repository.
    pub fn blob(&self, repository_id: i64, digest: Digest) {
        let now = self.now();
        self.write(move |tx| {
            blobs::adopt(tx, (&digest, None), 10, now)?;
            links::link(tx, repository_id, &digest, now)
        });
    }

    /// A manifest whose only layers are these.
    pub fn manifest(&self, repository_id: i64, sha256: Digest, layers: &[Digest]) -> Inserted {
        let references = layers
            .iter()
            .map(|digest| reference(ReferenceKind::Layer, *digest))
            .collect();
        self.push(repository_id, sha256, None, references)
    }

    /// A manifest with a subject and references.
    pub fn push(
        &self,
        repository_id: i64,
        sha256: Digest,
        subject: Option<Digest>,
        references: Vec<Reference>,
    ) -> Inserted {
        let now = self.now();
        self.write(move |tx| {
            let annotations = Annotations::new();
            let manifest = NewManifest {
                subject,
                references: &references,
                ..plain(sha256, &annotations, now)
            };
            blobs::adopt(tx, (&sha256, None), 100, now)?;
            manifests::insert(tx, repository_id, &manifest)
        })
    }

    pub fn tag(&self, repository_id: i64, text: &str, digest: Digest) -> Option<Digest> {
        let (tag, now) = (tag(text), self.now());
        self.write(move |tx| {
            let manifest = manifests::head(tx, repository_id, &digest)?.unwrap();
            tags::put(
                tx,
                &change(repository_id, &tag, Action::Pushed, now),
                manifest.id,
                &digest,
            )
        })
    }
}

pub fn config(folder: &TempDir) -> Config {
    Config::new(folder.path().join("index.db"))
}

/// A manifest without anything special.
pub fn plain(sha256: Digest, annotations: &Annotations, now: Timestamp) -> NewManifest<'_> {
    NewManifest {
        sha256,
        sha512: None,
        media_type: wharf_oci::media_type::OCI_MANIFEST,
        size: 100,
        artifact_type: None,
        config_media_type: None,
        subject: None,
        annotations,
        references: &[],
        pushed_at: now,
        pushed_by: "alice",
    }
}

pub fn reference(kind: ReferenceKind, digest: Digest) -> Reference {
    Reference { kind, digest, size: 10 }
}

pub fn change(repository_id: i64, tag: &Tag, action: Action, at: Timestamp) -> Change<'_> {
    Change {
        repository_id,
        tag,
        action,
        by: "alice",
        at,
    }
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// A sha256 digest that sorts by its number.
pub fn digest(number: u32) -> Digest {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    hash[31] = 1;
    Digest::Sha256(hash)
}

pub fn sha512(number: u32) -> Digest {
    let mut hash = [0; 64];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    hash[63] = 1;
    Digest::Sha512(hash)
}

/// Bytes are announced by somebody who thinks that deletions take a second.
pub fn writing(owner: &str, now: Timestamp) -> blobs::Writing<'_> {
    blobs::Writing {
        owner,
        now,
        reserved_until: now.plus(1_000_000),
        ended_before: now.plus(-1_000_000),
    }
}
