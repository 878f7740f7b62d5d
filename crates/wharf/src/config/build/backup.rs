//! `backup`.

use jiff::tz::TimeZone;
use wharf_jobs::Schedule;

use super::Builder;
use crate::config::types::{Backup, ScheduledBackup, Secret};

impl Builder<'_> {
    pub(super) fn backup(&mut self, zone: &TimeZone) -> Backup {
        let settings = self.settings;
        let backup = Backup {
            key: settings.text("backup.key").map(Secret::new),
            key_file: settings.path("backup.key_file"),
            snapshot_delay: self.at_least("backup.snapshot_delay", 1),
            snapshots: self.number("backup.snapshots"),
            scheduled: self.scheduled(zone),
        };
        if backup.key.is_some() && backup.key_file.is_some() {
            let message = "there is a backup.key (or WHARF_BACKUP_KEY) already";
            self.wrong("backup.key_file", message, "set only one of them");
        }
        backup
    }

    fn scheduled(&mut self, zone: &TimeZone) -> Option<ScheduledBackup> {
        let settings = self.settings;
        let (schedule, folder) = (settings.text("backup.schedule"), settings.path("backup.folder"));
        match (schedule, folder) {
            (Some(_), None) => {
                let message = "backups on a schedule need a folder";
                self.wrong("backup.schedule", message, "set backup.folder");
                None
            }
            (Some(schedule), Some(folder)) => match Schedule::parse(&schedule, zone) {
                Ok(schedule) => Some(ScheduledBackup {
                    schedule,
                    folder,
                    keep: self.number("backup.keep"),
                }),
                Err(error) => {
                    self.wrong("backup.schedule", error, "");
                    None
                }
            },
            (None, Some(_)) => {
                self.warn("backup.folder", "no backups go there: backup.schedule is not set");
                None
            }
            (None, None) => None,
        }
    }

    fn number(&self, path: &str) -> usize {
        usize::try_from(self.settings.int(path)).unwrap_or(usize::MAX)
    }
}
