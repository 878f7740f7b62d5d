//! Wharf's own keys. Those of the storage section stand there.

use super::{Key, Kind, Release, key};

const fn own(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    key(path, kind, doc).only(Release::Wharf)
}

pub(super) static OWN: &[Key] = &[
    own(
        "http.trusted_proxies",
        Kind::Texts,
        "Addresses or networks whose `Forwarded` and `X-Forwarded-*` headers are believed. Not set: everyone's, as in \
         distribution. An empty list: nobody's.",
    ),
    own(
        "http.limits",
        Kind::Section,
        "Limits of a request. There is none on the length of an upload.",
    ),
    own(
        "http.limits.manifest_size",
        Kind::Size,
        "Largest manifest; a larger one is answered 413.",
    )
    .default("4MiB"),
    own(
        "http.limits.header_size",
        Kind::Size,
        "All header lines together; more is answered 431.",
    )
    .default("64KiB"),
    own(
        "http.limits.idle_timeout",
        Kind::Duration,
        "A connection that sends no request for this long is closed.",
    )
    .default("2m"),
    own(
        "database",
        Kind::Section,
        "The index and everything that files cannot hold.",
    ),
    own(
        "database.path",
        Kind::Path,
        "The SQLite file. Not set: in `wharf/` beside `docker/` in the storage folder.",
    ),
    own(
        "database.url",
        Kind::Text,
        "A database server instead of a file: `postgresql://USER:PASSWORD@HOST/DATABASE` or `mariadb://…`; \
         `sqlite://FILE` is the same as `path`.",
    )
    .secret(),
    own(
        "database.url_file",
        Kind::Path,
        "A file that holds the URL, for one that is mounted as a secret. Read at start.",
    ),
    own(
        "database.max_connections",
        Kind::Int(2, 1000),
        "The most connections to the database server.",
    )
    .default("16"),
    own(
        "database.connect_timeout",
        Kind::Duration,
        "How long connecting to the server may take.",
    )
    .default("10s"),
    own(
        "database.statement_timeout",
        Kind::Duration,
        "How long the server may take for a statement; for those that look through a table, ten times as long.",
    )
    .default("30s"),
    own("access", Kind::Section, "Built-in accounts."),
    own(
        "access.accounts",
        Kind::Bool,
        "Built-in accounts and token service instead of an `auth` scheme. Not set: true without a configuration file.",
    ),
    own(
        "access.token_lifetime",
        Kind::Duration,
        "How long a token of the built-in service is good.",
    )
    .default("5m"),
    own("tls", Kind::Section, "Certificates beyond `http.tls`."),
    own(
        "tls.reload_interval",
        Kind::Duration,
        "How often the certificate files are looked at for changes.",
    )
    .default("10s"),
    own("gc", Kind::Section, "Garbage collection."),
    own(
        "gc.grace_period",
        Kind::Duration,
        "How long what nothing holds is left alone; at least 10m.",
    )
    .default("1h"),
    own(
        "gc.untagged_after",
        Kind::Duration,
        "Manifests that have had no tag for this time go, unless an index lists them or their subject is there. 0 = never.",
    )
    .default("0s"),
    own(
        "gc.objects_per_second",
        Kind::Int(0, 1_000_000),
        "Links, manifests and blobs that are removed in a second, at most. 0 = no limit.",
    )
    .default("500"),
    own(
        "gc.bytes_per_second",
        Kind::Size,
        "Bytes that are deleted in a second, at most. 0 = no limit.",
    )
    .default("0"),
    own("jobs", Kind::Section, "Long and scheduled work."),
    own(
        "jobs.time_zone",
        Kind::Text,
        "The time zone of schedules that name none, such as `Europe/Berlin`.",
    )
    .default("UTC"),
    own(
        "jobs.concurrency",
        Kind::Int(1, 64),
        "How many jobs this process runs at the same time.",
    )
    .default("8"),
    own(
        "jobs.retention",
        Kind::Duration,
        "How long jobs that have ended are kept with their logs.",
    )
    .default("720h"),
    own(
        "jobs.schedules",
        Kind::Section,
        "When jobs are made: `never`, `every 6h`, `@hourly`, `@daily`, `@weekly`, `@monthly`, or five cron fields \
         (minute, hour, day, month, weekday), these with or without a time zone behind. A schedule that an administrator \
         sets through the API or `wharf jobs schedule` counts before these.",
    ),
    own(
        "jobs.schedules.job_purge",
        Kind::Text,
        "Forgetting jobs that ended longer ago than `jobs.retention`.",
    )
    .default("@daily"),
    own(
        "jobs.schedules.scrub",
        Kind::Text,
        "Reading all bytes again, to find what the disk has lost or changed.",
    )
    .default("@monthly"),
    own(
        "jobs.schedules.trash_expiry",
        Kind::Text,
        "Purging what has been in the trash for `trash.keep`.",
    )
    .default("@hourly"),
    own("scrub", Kind::Section, "Reading all bytes again."),
    own(
        "scrub.bytes_per_second",
        Kind::Size,
        "Bytes that are read in a second, at most. 0 = no limit.",
    )
    .default("20MiB"),
    own("trash", Kind::Section, "What is deleted and can be brought back."),
    own(
        "trash.keep",
        Kind::Duration,
        "How long a deleted tag, manifest or repository can be brought back; its bytes take space until then. 0 = it is \
         gone at once.",
    )
    .default("168h"),
    own("telemetry", Kind::Section, "What leaves the process about it."),
    own(
        "telemetry.traces",
        Kind::Section,
        "OpenTelemetry traces. The `OTEL_*` variables set the same.",
    ),
    own(
        "telemetry.traces.enabled",
        Kind::Bool,
        "Send them. Not set: true with an endpoint.",
    ),
    own(
        "telemetry.traces.endpoint",
        Kind::Text,
        "URL of the collector, OTLP over HTTP with protobuf; `/v1/traces` is added to a URL without a path.",
    ),
    own(
        "telemetry.traces.headers",
        Kind::Headers,
        "Headers of each request to it.",
    )
    .secret(),
    own(
        "telemetry.traces.service_name",
        Kind::Text,
        "`service.name` of the traces.",
    )
    .default("wharf"),
    own(
        "telemetry.traces.sample_ratio",
        Kind::Text,
        "Share of the traces that is kept, 0 to 1.",
    )
    .default("1"),
    own(
        "backup",
        Kind::Section,
        "Backups of the index, and snapshots of what the storage cannot rebuild.",
    ),
    own(
        "backup.key_file",
        Kind::Path,
        "File with the key of `wharf backup key`. With a key, backups are encrypted, and an SQLite index is snapshotted \
         into `wharf/snapshots/` of the storage.",
    ),
    own("backup.key", Kind::Text, "The key itself, for `WHARF_BACKUP_KEY`.").secret(),
    own(
        "backup.snapshot_delay",
        Kind::Duration,
        "How long a change may wait for its snapshot; accounts, rights and keys wait 2s. At least 1s.",
    )
    .default("1m"),
    own(
        "backup.snapshots",
        Kind::Int(1, 1000),
        "How many snapshots are kept; equal parts of them are stored once.",
    )
    .default("5"),
    own(
        "backup.schedule",
        Kind::Text,
        "When a backup is made in `backup.folder`: `@daily`, `every 6h`, or five cron fields. Not set: never.",
    ),
    own(
        "backup.folder",
        Kind::Path,
        "Where scheduled backups go: not on the disk of the index.",
    ),
    own(
        "backup.keep",
        Kind::Int(1, 10_000),
        "How many scheduled backups are kept.",
    )
    .default("7"),
];
