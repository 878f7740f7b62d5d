//! Every table, with its columns: the one list that backups, snapshots and moves between engines
//! go by. A test compares it with the schema, so that a table that is added cannot be forgotten.

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    /// How many of the first columns make its key.
    pub(crate) key: usize,
    /// Whether the engine numbers new rows in the first column.
    pub(crate) is_numbered: bool,
    pub(crate) columns: &'static [Column],
}

/// What a table holds: where its rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Who may do what, and what cannot be made anew: saved within seconds of a change.
    Rights,
    /// What the storage cannot rebuild either, but may be saved a minute later.
    Records,
    /// The same, but changed by every pull: saved along with the others.
    Counts,
    /// What the storage can rebuild.
    Derived,
    /// What is true only now: pending work, sessions, what was seen in the storage. A restored
    /// index must not have it, for the storage has moved on.
    Passing,
    /// What belongs to this database alone.
    Own,
}

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What stands in rows that were saved before there was this column.
    pub(crate) absent: Absent,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Bytes,
}

/// What stands in a row that was saved without the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// There is no such row: the column is as old as its table.
    Never,
    Null,
    #[expect(dead_code, reason = "for columns that are added to released tables")]
    Int(i64),
    #[expect(dead_code, reason = "for columns that are added to released tables")]
    Text(&'static str),
}

const fn column(name: &'static str, kind: Kind) -> Column {
    let absent = Absent::Never;
    Column { name, kind, absent }
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Int)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

const fn bytes(name: &'static str) -> Column {
    column(name, Kind::Bytes)
}

impl Column {
    /// It may hold nothing.
    const fn null(mut self) -> Self {
        self.absent = Absent::Null;
        self
    }
}

const fn table(name: &'static str, holds: Holds, key: usize, columns: &'static [Column]) -> Table {
    Table {
        name,
        holds,
        key,
        is_numbered: false,
        columns,
    }
}

impl Table {
    const fn numbered(mut self) -> Self {
        self.is_numbered = true;
        self
    }
}

/// The tables that a purpose takes along, in an order in which rows can be inserted: what a row
/// refers to comes before it.
pub(crate) static TABLES: &[Table] = &[
    table("settings", Holds::Rights, 1, &[text("name"), bytes("value")]),
    table("counters", Holds::Counts, 1, &[text("name"), int("value")]),
    table(
        "projects",
        Holds::Rights,
        1,
        &[int("id"), text("name"), int("visibility"), int("created_at")],
    )
    .numbered(),
    // the names that clients see, and the numbers that history and trash know a repository by
    table(
        "repositories",
        Holds::Records,
        1,
        &[
            int("id"),
            text("name"),
            text("storage_name"),
            int("project_id"),
            int("state"),
            int("epoch"),
            int("created_at"),
        ],
    )
    .numbered(),
    table(
        "blobs",
        Holds::Derived,
        1,
        &[
            int("id"),
            bytes("sha256"),
            bytes("sha512").null(),
            int("size"),
            int("state"),
            int("generation"),
            text("owner").null(),
            int("deadline").null(),
            int("state_at"),
            int("touched_at"),
            int("created_at"),
        ],
    )
    .numbered(),
    table(
        "repository_blobs",
        Holds::Derived,
        2,
        &[int("repository_id"), int("blob_id"), int("is_alias"), int("linked_at")],
    ),
    table(
        "manifests",
        Holds::Derived,
        1,
        &[
            int("id"),
            int("repository_id"),
            bytes("sha256"),
            bytes("sha512").null(),
            int("is_sha512"),
            text("media_type"),
            int("size"),
            text("artifact_type").null(),
            text("config_media_type").null(),
            bytes("subject").null(),
            int("subject_seen"),
            int("pushed_at"),
            text("pushed_by"),
            text("annotations"),
            int("tag_left_at").null(),
        ],
    )
    .numbered(),
    table(
        "manifest_references",
        Holds::Derived,
        2,
        &[
            int("manifest_id"),
            int("position"),
            int("kind"),
            int("repository_id"),
            bytes("digest"),
            int("size"),
        ],
    ),
    table(
        "tags",
        Holds::Derived,
        2,
        &[
            int("repository_id"),
            text("name"),
            int("manifest_id"),
            int("is_sha512"),
            int("updated_at"),
            text("updated_by"),
            int("link_size").null(),
            int("link_mtime").null(),
            int("link_ctime").null(),
            int("link_inode").null(),
        ],
    ),
    table(
        "tag_history",
        Holds::Records,
        1,
        &[
            int("id"),
            int("repository_id"),
            text("name"),
            int("action"),
            bytes("digest"),
            int("at"),
            text("actor"),
        ],
    )
    .numbered(),
    // every entry is a file of the storage too, and those files are newer than anything saved
    table(
        "trash",
        Holds::Derived,
        1,
        &[
            int("id"),
            int("kind"),
            text("mirror_key"),
            int("repository_id"),
            text("repository"),
            bytes("sha256"),
            bytes("sha512").null(),
            int("is_sha512"),
            text("media_type"),
            int("size"),
            text("artifact_type").null(),
            bytes("subject").null(),
            int("pushed_at"),
            text("pushed_by"),
            int("trashed_at"),
            text("trashed_by"),
            text("reason"),
            int("expires_at"),
        ],
    )
    .numbered(),
    table(
        "trash_tags",
        Holds::Derived,
        2,
        &[int("trash_id"), text("name"), int("is_sha512")],
    ),
    table(
        "trash_references",
        Holds::Derived,
        2,
        &[
            int("trash_id"),
            int("position"),
            int("kind"),
            int("repository_id"),
            bytes("digest"),
            int("size"),
        ],
    ),
    table("trash_files", Holds::Passing, 1, &[text("mirror_key"), int("version")]),
    table(
        "repository_deletions",
        Holds::Passing,
        1,
        &[
            int("repository_id"),
            int("deleted_at"),
            text("deleted_by"),
            text("reason"),
            int("expires_at").null(),
        ],
    ),
    table(
        "uploads",
        Holds::Passing,
        1,
        &[
            text("id"),
            int("repository_id"),
            int("epoch"),
            int("received"),
            bytes("state"),
            int("started_at"),
            int("updated_at"),
        ],
    ),
    table(
        "mirror",
        Holds::Passing,
        2,
        &[
            int("repository_id"),
            text("entry"),
            int("version"),
            text("claimed_by").null(),
            int("claimed_until").null(),
            int("again_at").null(),
        ],
    ),
    table(
        "tombstones",
        Holds::Passing,
        2,
        &[int("repository_id"), text("entry"), int("epoch")],
    ),
    table(
        "directories",
        Holds::Passing,
        2,
        &[int("repository_id"), text("path"), int("mtime")],
    ),
    table(
        "manifest_statistics",
        // its rows are numbered by what the storage rebuilds with other numbers
        Holds::Derived,
        1,
        &[int("manifest_id"), int("pulls"), int("pulled_at")],
    ),
    table(
        "tag_statistics",
        Holds::Counts,
        2,
        &[int("repository_id"), text("name"), int("pulls"), int("pulled_at")],
    ),
    table(
        "repository_statistics",
        Holds::Counts,
        1,
        &[
            int("repository_id"),
            int("pulls"),
            int("pulled_at"),
            int("pushes"),
            int("pushed_at"),
        ],
    ),
    table(
        "users",
        Holds::Rights,
        1,
        &[
            int("id"),
            text("name"),
            text("password_hash"),
            int("is_admin"),
            int("is_disabled"),
            int("must_change"),
            int("credential_version"),
            int("created_at"),
            int("updated_at"),
        ],
    )
    .numbered(),
    table(
        "signing_keys",
        Holds::Rights,
        1,
        &[
            text("kid"),
            text("algorithm"),
            bytes("private_key"),
            int("created_at"),
            int("retired_at").null(),
        ],
    ),
    // a restored one could be a revoked one
    table(
        "refresh_tokens",
        Holds::Passing,
        1,
        &[
            bytes("hash"),
            text("account"),
            text("service"),
            text("scope"),
            int("credential_version"),
            int("created_at"),
            int("expires_at"),
            int("revoked_at").null(),
        ],
    ),
    table(
        "audit_log",
        Holds::Records,
        1,
        &[
            int("id"),
            int("at"),
            text("actor"),
            text("action"),
            text("subject"),
            text("detail"),
            text("address"),
            text("result"),
        ],
    )
    .numbered(),
    // the schedules that administrators have set
    table(
        "job_kinds",
        Holds::Counts,
        1,
        &[
            text("kind"),
            int("is_enabled"),
            text("schedule").null(),
            text("planned"),
            int("next_at").null(),
            int("last_success_at").null(),
            int("last_failure_at").null(),
            text("changed_by"),
            int("changed_at"),
        ],
    ),
    table(
        "damaged_blobs",
        Holds::Passing,
        1,
        &[bytes("sha256"), int("damage"), text("detail"), int("found_at")],
    ),
    table(
        "jobs",
        Holds::Passing,
        1,
        &[
            int("id"),
            text("kind"),
            text("job_key").null(),
            text("waiting_key").null(),
            int("state"),
            text("payload"),
            text("checkpoint").null(),
            int("priority"),
            int("run_at"),
            int("attempts"),
            int("fencing"),
            text("owner").null(),
            int("lease_until").null(),
            int("progress_done"),
            int("progress_total").null(),
            text("progress_text"),
            text("summary").null(),
            text("error").null(),
            text("requested_by"),
            text("cancelled_by").null(),
            int("created_at"),
            int("started_at").null(),
            int("ended_at").null(),
        ],
    )
    .numbered(),
    table(
        "job_log",
        Holds::Passing,
        1,
        &[int("id"), int("job_id"), int("at"), text("message")],
    )
    .numbered(),
    // a restored index is swept for garbage instead
    table(
        "gc_queue",
        Holds::Passing,
        3,
        &[int("kind"), int("repository_id"), int("target_id"), int("since")],
    ),
    table(
        "gc_runs",
        Holds::Records,
        1,
        &[
            int("id"),
            text("cause"),
            int("started_at"),
            int("ended_at").null(),
            text("outcome"),
            int("manifests"),
            int("links"),
            int("condemned"),
            int("blobs"),
            int("bytes"),
        ],
    )
    .numbered(),
    table(
        "owner",
        Holds::Own,
        1,
        &[
            int("id"),
            int("fencing"),
            text("holder"),
            text("detail"),
            int("claimed_at"),
            int("heartbeat_at"),
            int("released_at").null(),
        ],
    ),
    table("cache_versions", Holds::Own, 1, &[int("shard"), int("version")]),
    table(
        "leases",
        Holds::Own,
        1,
        &[text("name"), text("holder"), int("held_until")],
    ),
    table(
        "schema_steps",
        Holds::Own,
        1,
        &[
            int("step"),
            text("name"),
            text("checksum"),
            text("applied_by"),
            int("needs"),
        ],
    ),
];

/// The table of this name.
pub(crate) fn find(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}
