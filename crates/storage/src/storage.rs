//! The way in.

#[cfg(feature = "test-layer")]
use crate::filesystem::{Disk, Recorder};
use crate::{
    Blobs, Links, Result, State, Uploads, Walk,
    driver::{ByteStore, Driver, Kind, Observe},
    filesystem::{self, Filesystem},
    memory::Memory,
    objects::s3,
};

/// A storage root. Cloning gives another handle to the same one; two storages opened on one folder
/// do not know of each other, so a process opens a folder once.
#[derive(Clone, Debug)]
pub struct Storage {
    driver: Driver,
    blobs: Blobs,
    uploads: Uploads,
    links: Links,
    walk: Walk,
    state: State,
}

impl Storage {
    /// A folder. It need not exist; nothing is written before the first change.
    pub fn filesystem(config: filesystem::Config) -> Result<Self> {
        Ok(Self::with(Driver::new(Kind::Filesystem(Filesystem::open(config)?))))
    }

    /// A bucket of S3, or of what speaks its protocol. Nothing is sent before the first operation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) names the setting that cannot be used.
    pub fn s3(settings: &s3::Settings) -> Result<Self> {
        Ok(Self::with(Driver::new(Kind::Objects(s3::open(settings)?))))
    }

    /// Memory of this process, for tests and trials: gone with the last handle.
    pub fn memory() -> Self {
        Self::with(Driver::new(Kind::Memory(Memory::default())))
    }

    /// A folder whose power can be cut by the recorder that comes with it. The folder must exist.
    #[cfg(feature = "test-layer")]
    pub fn recorded(config: filesystem::Config) -> Result<(Self, std::sync::Arc<Recorder>)> {
        let recorder =
            Recorder::new(&config.root).map_err(|error| crate::Error::io("watch", config.root.display(), error))?;
        let recorder = std::sync::Arc::new(recorder);
        let disk = Disk::Recorded(std::sync::Arc::clone(&recorder));
        let driver = Driver::new(Kind::Filesystem(Filesystem::with_disk(config, disk)?));
        Ok((Self::with(driver), recorder))
    }

    /// The same storage; `observe` is told how long each operation takes.
    #[must_use]
    pub fn observed(self, observe: Observe) -> Self {
        let mut driver = self.driver;
        driver.observe = Some(observe);
        Self::with(driver)
    }

    /// The same storage; of an uploaded blob the first `bytes` stay in the system's page cache, and
    /// the rest goes past it to the disk, where the filesystem supports that. 8 MiB unless this is
    /// called; [`u64::MAX`] keeps everything.
    #[must_use]
    pub fn caching(self, bytes: u64) -> Self {
        let mut driver = self.driver;
        if let Kind::Filesystem(filesystem) = &mut driver.kind {
            filesystem.cached = bytes;
        }
        Self::with(driver)
    }

    fn with(driver: Driver) -> Self {
        let blobs = Blobs::new(driver.clone());
        Self {
            uploads: Uploads::new(driver.clone(), blobs.clone()),
            links: Links::new(driver.clone()),
            walk: Walk::new(driver.clone()),
            state: State::new(driver.clone()),
            blobs,
            driver,
        }
    }

    /// Bytes under their sha256.
    pub const fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Bytes on their way.
    pub const fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Which repository holds which digest, and what a tag points to.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// What is there.
    pub const fn walk(&self) -> &Walk {
        &self.walk
    }

    /// Our own small files.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The byte-level driver below all of them.
    pub const fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Whether several processes may write to it at once: to a bucket they may, a folder has one
    /// writer.
    pub const fn is_shared(&self) -> bool {
        self.driver.objects().is_some()
    }

    /// The name of the driver: `filesystem`, `inmemory` or `s3`, as in distribution's configuration.
    pub fn name(&self) -> &'static str {
        self.driver.name()
    }
}
