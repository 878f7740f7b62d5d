-- Digests: one byte for the algorithm (1 sha256, 2 sha512), then the hash.
-- Times: microseconds since 1970 UTC. Flags: 0 or 1. Text compares by bytes.

create table settings (
    name text primary key,
    value blob not null
) without rowid;

create table counters (
    name text primary key,
    value integer not null
) without rowid;

-- mirror: versions of pending rows; credentials: raised with every change of a credential;
-- index_epoch: raised with every pass over the storage
insert into counters (name, value) values ('mirror', 0), ('credentials', 0), ('index_epoch', 0);

-- the process that may write; a single row
create table owner (
    id integer primary key check (id = 1),
    fencing integer not null,
    holder text not null,
    detail text not null,
    claimed_at integer not null,
    heartbeat_at integer not null,
    released_at integer
);

create table projects (
    id integer primary key autoincrement,
    name text not null unique,
    visibility integer not null,            -- 0 private, 1 internal, 2 public
    created_at integer not null
);

create table repositories (
    id integer primary key autoincrement,
    name text not null unique,              -- what clients see
    storage_name text not null unique,      -- the folder; never changes
    project_id integer not null references projects (id),
    state integer not null,                 -- 0 unindexed, 1 indexing, 2 indexed
    epoch integer not null,                 -- of the pass that set the state
    created_at integer not null
);
create index repositories_project on repositories (project_id);
create index repositories_state on repositories (state, id);

create table blobs (
    id integer primary key autoincrement,
    sha256 blob not null unique,
    sha512 blob,
    size integer not null,
    state integer not null,                 -- 0 writing, 1 present, 2 condemned, 3 deleting
    generation integer not null,
    owner text,                             -- who writes or deletes
    deadline integer,                       -- of a deletion
    state_at integer not null,
    touched_at integer not null,
    created_at integer not null
);
create unique index blobs_sha512 on blobs (sha512) where sha512 is not null;
create index blobs_state on blobs (state, id);

create table repository_blobs (
    repository_id integer not null references repositories (id),
    blob_id integer not null references blobs (id),
    is_alias integer not null,              -- linked under sha512 too
    linked_at integer not null,
    primary key (repository_id, blob_id)
) without rowid;
create index repository_blobs_blob on repository_blobs (blob_id, repository_id);

create table manifests (
    id integer primary key autoincrement,
    repository_id integer not null references repositories (id),
    sha256 blob not null,
    sha512 blob,
    is_sha512 integer not null,             -- pushed under its sha512 name
    media_type text not null,
    size integer not null,
    artifact_type text,
    config_media_type text,
    subject blob,
    subject_seen integer not null,          -- the subject is or was in this repository
    pushed_at integer not null,
    pushed_by text not null,
    annotations text not null               -- JSON object
);
create unique index manifests_sha256 on manifests (repository_id, sha256);
create unique index manifests_sha512 on manifests (repository_id, sha512) where sha512 is not null;
create index manifests_bytes on manifests (sha256);
create index manifests_subject on manifests (repository_id, subject, sha256) where subject is not null;

-- no foreign key on what is referenced: it may come later, or never
create table manifest_references (
    manifest_id integer not null references manifests (id),
    position integer not null,
    kind integer not null,                  -- 0 config, 1 layer, 2 child
    repository_id integer not null,
    digest blob not null,
    size integer not null,
    primary key (manifest_id, position)
) without rowid;
create index manifest_references_digest on manifest_references (repository_id, digest, kind);

create table tags (
    repository_id integer not null references repositories (id),
    name text not null,
    manifest_id integer not null references manifests (id),
    is_sha512 integer not null,             -- set under the manifest's sha512 name
    updated_at integer not null,
    updated_by text not null,
    link_size integer,                      -- the link file as it was when last seen
    link_mtime integer,
    link_ctime integer,
    link_inode integer,
    primary key (repository_id, name)
) without rowid;
create index tags_manifest on tags (manifest_id, name);

create table tag_history (
    id integer primary key autoincrement,
    repository_id integer not null,
    name text not null,
    action integer not null,                -- 0 pushed, 1 deleted, 2 found in storage, 3 gone from storage
    digest blob not null,                   -- what it points to; for a deletion, what it pointed to
    at integer not null,
    actor text not null
);
create index tag_history_tag on tag_history (repository_id, name, id);

create table uploads (
    id text primary key,
    repository_id integer not null references repositories (id),
    epoch integer not null,
    received integer not null,
    state blob not null,
    started_at integer not null,
    updated_at integer not null
) without rowid;
create index uploads_updated on uploads (updated_at);
create index uploads_repository on uploads (repository_id);

create table mirror (
    repository_id integer not null,
    entry text not null,
    version integer not null,
    claimed_by text,
    claimed_until integer,
    primary key (repository_id, entry)
) without rowid;

create table tombstones (
    repository_id integer not null,
    entry text not null,
    epoch integer not null,
    primary key (repository_id, entry)
) without rowid;

create table directories (
    repository_id integer not null,         -- 0 for those above the repositories
    path text not null,
    mtime integer not null,                 -- nanoseconds
    primary key (repository_id, path)
) without rowid;

create table manifest_statistics (
    manifest_id integer primary key references manifests (id),
    pulls integer not null,
    pulled_at integer not null
);

create table tag_statistics (
    repository_id integer not null,
    name text not null,
    pulls integer not null,
    pulled_at integer not null,
    primary key (repository_id, name)
) without rowid;

create table repository_statistics (
    repository_id integer primary key references repositories (id),
    pulls integer not null,
    pulled_at integer not null,
    pushes integer not null,
    pushed_at integer not null
);

create table users (
    id integer primary key autoincrement,
    name text not null unique,              -- lowercase
    password_hash text not null,
    is_admin integer not null,
    is_disabled integer not null,
    must_change integer not null,
    credential_version integer not null,
    created_at integer not null,
    updated_at integer not null
);

create table signing_keys (
    kid text primary key,
    algorithm text not null,
    private_key blob not null,
    created_at integer not null,
    retired_at integer
) without rowid;

create table refresh_tokens (
    hash blob primary key,
    account text not null,
    service text not null,
    scope text not null,
    credential_version integer not null,
    created_at integer not null,
    expires_at integer not null,
    revoked_at integer
) without rowid;
create index refresh_tokens_account on refresh_tokens (account);
create index refresh_tokens_expiry on refresh_tokens (expires_at);

create table audit_log (
    id integer primary key autoincrement,
    at integer not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    address text not null,
    result text not null
);
create index audit_log_at on audit_log (at);
