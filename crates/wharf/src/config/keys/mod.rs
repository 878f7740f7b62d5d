//! The one table of keys: what the parser accepts, the environment reaches, `config print` shows, the JSON
//! schema describes and the reference page lists.

mod distribution;
mod http;
mod storage;
mod tree;
mod wharf;

pub(super) use tree::{Schema, schema};

/// One key of the file.
#[derive(Debug)]
pub(super) struct Key {
    /// from the root, dots between; `[]` = each entry of a list, `*` = any name
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// what holds when it is not set, as it would be written; empty = nothing
    pub(super) default: &'static str,
    /// other spellings of the last part, in files and in the environment
    pub(super) aliases: &'static [&'static str],
    /// the name of the field in distribution's source where the environment needs that one
    pub(super) field: &'static str,
    pub(super) release: Release,
    pub(super) status: Status,
    /// which values of a refused or ignored section matter
    pub(super) when: When,
    pub(super) required: bool,
    /// a section that is only there when it is written, without defaults of its own before that
    pub(super) optional: bool,
    pub(super) secret: bool,
    pub(super) doc: &'static str,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// named keys; any other is an error
    Section,
    /// named keys of which exactly one driver or scheme is set; may also be that one's name alone
    OneOf,
    /// named keys of a driver: distribution ignores any other, so it is a warning
    Params,
    /// a list of sections
    Sections,
    Text,
    Path,
    Bool,
    /// from, to
    Int(i64, i64),
    Duration,
    /// bytes
    Size,
    Choice(&'static [&'static str]),
    Texts,
    Paths,
    Choices(&'static [&'static str]),
    /// names with a list of texts each
    Headers,
    /// names with anything
    Fields,
}

/// Which programs know a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    Both,
    /// distribution 2.x up to 2.8
    Two,
    /// distribution from 3.0
    Three,
    /// distribution from 3.1
    ThreeOne,
    Wharf,
}

/// What setting a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Honoured,
    /// no effect, and nobody misses it
    Notice(&'static str),
    /// no effect: a warning
    Ignored(&'static str),
    /// the start is refused; what to do
    Refused(&'static str),
}

/// When a section with a status other than honoured counts as set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// there is anything in it
    Set,
    /// this key in it is not empty
    Has(&'static str),
    /// this key in it is not true (entries of a list)
    Unless(&'static str),
}

const fn key(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        default: "",
        aliases: &[],
        field: "",
        release: Release::Both,
        status: Status::Honoured,
        when: When::Set,
        required: false,
        optional: false,
        secret: false,
        doc,
    }
}

impl Key {
    const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn field(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }

    const fn only(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    const fn notice(mut self, why: &'static str) -> Self {
        self.status = Status::Notice(why);
        self
    }

    const fn ignored(mut self, why: &'static str) -> Self {
        self.status = Status::Ignored(why);
        self
    }

    const fn refused(mut self, instead: &'static str) -> Self {
        self.status = Status::Refused(instead);
        self
    }

    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The status of the nearest section above that has one of its own.
    pub(super) fn inherited(&self) -> Status {
        let mut path = self.path;
        while let Some((section, _)) = path.rsplit_once('.') {
            path = section.trim_end_matches("[]");
            let above = all()
                .find(|key| key.path == path)
                .map_or(Status::Honoured, |key| key.status);
            if above != Status::Honoured {
                return above;
            }
        }
        Status::Honoured
    }

    /// The last part of the path, without `[]`.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path).trim_end_matches("[]")
    }
}

/// Every key, in the order of the reference page.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    distribution::GENERAL
        .iter()
        .chain(storage::STORAGE)
        .chain(storage::DRIVERS)
        .chain(distribution::ACCESS)
        .chain(http::HTTP)
        .chain(distribution::SERVICES)
        .chain(distribution::REDIS)
        .chain(distribution::LIMITS)
        .chain(wharf::OWN)
}
