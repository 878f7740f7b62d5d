//! `storage`.

use super::Builder;
use crate::config::types::{ForeignWriters, Storage, StorageDriver, UploadPurging};

impl Builder<'_> {
    pub(super) fn storage(&mut self) -> Storage {
        let settings = self.settings;
        let purging = "storage.maintenance.uploadpurging";
        Storage {
            driver: self.driver(),
            push_cache: settings.size("storage.filesystem.push_cache"),
            delete_enabled: settings.bool("storage.delete.enabled"),
            redirect: !settings.bool("storage.redirect.disable"),
            middleware: self.storage_middleware(),
            read_only: settings.bool("storage.maintenance.readonly.enabled"),
            upload_purging: settings.bool(&format!("{purging}.enabled")).then(|| UploadPurging {
                age: self.at_least(&format!("{purging}.age"), 1),
                interval: self.at_least(&format!("{purging}.interval"), 1),
                dry_run: settings.bool(&format!("{purging}.dryrun")),
            }),
            foreign_writers: match settings.text("storage.foreign_writers").as_deref() {
                Some("never") => ForeignWriters::Never,
                Some("always") => ForeignWriters::Always,
                _ => ForeignWriters::Auto,
            },
        }
    }

    fn driver(&mut self) -> StorageDriver {
        let settings = self.settings;
        if settings.has_section("storage.s3") {
            return StorageDriver::S3(Box::new(self.s3()));
        }
        if settings.has_section("storage.filesystem") {
            let threads = usize::try_from(settings.int("storage.filesystem.maxthreads")).unwrap_or(usize::MAX);
            return StorageDriver::Filesystem {
                root: settings.path("storage.filesystem.rootdirectory").unwrap_or_default(),
                // distribution raises it to 25 as well (base.GetLimitFromParameter)
                max_threads: threads.max(25),
            };
        }
        StorageDriver::InMemory
    }
}
