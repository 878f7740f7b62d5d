//! `jobs`: schedules and their time zone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use wharf_jobs::{Schedule, schedule};

use super::super::types::JobSettings;
use super::Builder;

const SCHEDULES: &str = "jobs.schedules.";

impl Builder<'_> {
    pub(super) fn jobs(&mut self) -> JobSettings {
        let time_zone = self.time_zone();
        let concurrency = usize::try_from(self.settings.int("jobs.concurrency")).unwrap_or(1);
        JobSettings {
            concurrency: concurrency.max(1),
            retention: self.at_least("jobs.retention", 3_600).max(Duration::from_secs(1)),
            schedules: self.schedules(&time_zone),
            time_zone,
        }
    }

    fn time_zone(&mut self) -> TimeZone {
        let name = self.settings.text("jobs.time_zone");
        let zone = name.as_deref().map_or(Ok(TimeZone::UTC), schedule::time_zone);
        zone.unwrap_or_else(|error| {
            self.wrong("jobs.time_zone", error, "");
            TimeZone::UTC
        })
    }

    fn schedules(&mut self, zone: &TimeZone) -> BTreeMap<String, Schedule> {
        let settings = self.settings;
        let paths = settings.iter().map(|setting| setting.path.as_str());
        let mut schedules = BTreeMap::new();
        for path in paths {
            let Some(kind) = path.strip_prefix(SCHEDULES) else {
                continue;
            };
            let text = settings.text(path).unwrap_or_else(|| "never".to_owned());
            match Schedule::parse(&text, zone) {
                Ok(schedule) => drop(schedules.insert(kind.to_owned(), schedule)),
                Err(error) => self.wrong(path, error, ""),
            }
        }
        schedules
    }
}
