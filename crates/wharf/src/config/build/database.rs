//! `database`.

use wharf_metadata::Location;
use wharf_metadata::location::LocationError;

use super::Builder;
use crate::config::error::Source;
use crate::config::snippet::Finding;
use crate::config::types::{Database, Secret};

impl Builder<'_> {
    pub(super) fn database(&mut self) -> Database {
        let mut database = Database {
            path: self.settings.path("database.path"),
            url: self.settings.text("database.url").map(Secret::new),
            url_file: self.settings.path("database.url_file"),
            max_connections: usize::try_from(self.settings.int("database.max_connections")).unwrap_or(usize::MAX),
            connect_timeout: self.at_least("database.connect_timeout", 1),
            statement_timeout: self.at_least("database.statement_timeout", 1),
        };
        let ways = [
            database.path.is_some(),
            database.url.is_some(),
            database.url_file.is_some(),
        ];
        if ways.into_iter().filter(|is_set| *is_set).count() > 1 {
            let message = "only one of `path`, `url` and `url_file` can say where the index is";
            self.wrong("database", message, "remove the others");
        }
        if let Some(url) = &database.url {
            match Location::parse(url.expose()) {
                Ok(Location::Server(_)) => {}
                Ok(Location::Sqlite(file)) => {
                    database.path = Some(file.path);
                    database.url = None;
                }
                Err(error) => self.wrong_url(&error),
            }
        }
        database
    }

    /// Without the line that it stands in: there is a password in it, and where is not clear.
    fn wrong_url(&mut self, error: &LocationError) {
        let message = format!("`database.url`: {error}");
        let finding = match self.settings.source("database.url") {
            source @ Source::Env(_) => Finding::new(message, source),
            _ => Finding::new(message, self.settings.source("database")).key_only(),
        };
        self.findings.push(finding);
    }
}
