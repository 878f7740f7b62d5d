-- The same as for SQLite. Digests: one byte for the algorithm (1 sha256, 2 sha512), then the hash.
-- Times: microseconds since 1970 UTC. Flags: 0 or 1. Text compares by bytes.

create table settings (
    name varchar(255) primary key,
    value longblob not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table counters (
    name varchar(255) primary key,
    value bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

-- mirror: versions of pending rows; credentials: raised with every change of a credential;
-- index_epoch: raised with every pass over the storage
insert into counters (name, value) values ('mirror', 0), ('credentials', 0), ('index_epoch', 0);

-- the process that may write; a single row
create table owner (
    id bigint primary key check (id = 1),
    fencing bigint not null,
    holder text not null,
    detail longtext not null,
    claimed_at bigint not null,
    heartbeat_at bigint not null,
    released_at bigint
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table projects (
    id bigint auto_increment primary key,
    name varchar(255) not null unique,
    visibility bigint not null,            -- 0 private, 1 internal, 2 public
    created_at bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table repositories (
    id bigint auto_increment primary key,
    name varchar(255) not null unique,              -- what clients see
    storage_name varchar(255) not null unique,      -- the folder; never changes
    project_id bigint not null,
    state bigint not null,                 -- 0 unindexed, 1 indexing, 2 indexed
    epoch bigint not null,                 -- of the pass that set the state
    created_at bigint not null,
    foreign key (project_id) references projects (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index repositories_project on repositories (project_id);
create index repositories_state on repositories (state, id);

create table blobs (
    id bigint auto_increment primary key,
    sha256 varbinary(65) not null unique,
    sha512 varbinary(65),
    size bigint not null,
    state bigint not null,                 -- 0 writing, 1 present, 2 condemned, 3 deleting
    generation bigint not null,
    owner text,                             -- who writes or deletes
    deadline bigint,                       -- of a deletion
    state_at bigint not null,
    touched_at bigint not null,
    created_at bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create unique index blobs_sha512 on blobs (sha512);
create index blobs_state on blobs (state, id);

create table repository_blobs (
    repository_id bigint not null,
    blob_id bigint not null,
    is_alias bigint not null,              -- linked under sha512 too
    linked_at bigint not null,
    primary key (repository_id, blob_id),
    foreign key (repository_id) references repositories (id),
    foreign key (blob_id) references blobs (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index repository_blobs_blob on repository_blobs (blob_id, repository_id);

create table manifests (
    id bigint auto_increment primary key,
    repository_id bigint not null,
    sha256 varbinary(65) not null,
    sha512 varbinary(65),
    is_sha512 bigint not null,             -- pushed under its sha512 name
    media_type text not null,
    size bigint not null,
    artifact_type text,
    config_media_type text,
    subject varbinary(65),
    subject_seen bigint not null,          -- the subject is or was in this repository
    pushed_at bigint not null,
    pushed_by text not null,
    annotations longtext not null,               -- JSON object
    foreign key (repository_id) references repositories (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create unique index manifests_sha256 on manifests (repository_id, sha256);
create unique index manifests_sha512 on manifests (repository_id, sha512);
create index manifests_bytes on manifests (sha256);
create index manifests_subject on manifests (repository_id, subject, sha256);

-- no foreign key on what is referenced: it may come later, or never
create table manifest_references (
    manifest_id bigint not null,
    position bigint not null,
    kind bigint not null,                  -- 0 config, 1 layer, 2 child
    repository_id bigint not null,
    digest varbinary(65) not null,
    size bigint not null,
    primary key (manifest_id, position),
    foreign key (manifest_id) references manifests (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index manifest_references_digest on manifest_references (repository_id, digest, kind);

create table tags (
    repository_id bigint not null,
    name varchar(255) not null,
    manifest_id bigint not null,
    is_sha512 bigint not null,             -- set under the manifest's sha512 name
    updated_at bigint not null,
    updated_by text not null,
    link_size bigint,                      -- the link file as it was when last seen
    link_mtime bigint,
    link_ctime bigint,
    link_inode bigint,
    primary key (repository_id, name),
    foreign key (repository_id) references repositories (id),
    foreign key (manifest_id) references manifests (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index tags_manifest on tags (manifest_id, name);

create table tag_history (
    id bigint auto_increment primary key,
    repository_id bigint not null,
    name varchar(255) not null,
    action bigint not null,                -- 0 pushed, 1 deleted, 2 found in storage, 3 gone from storage
    digest varbinary(65) not null,                   -- what it points to; for a deletion, what it pointed to
    at bigint not null,
    actor text not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index tag_history_tag on tag_history (repository_id, name, id);

create table uploads (
    id varchar(64) primary key,
    repository_id bigint not null,
    epoch bigint not null,
    received bigint not null,
    state longblob not null,
    started_at bigint not null,
    updated_at bigint not null,
    foreign key (repository_id) references repositories (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index uploads_updated on uploads (updated_at);
create index uploads_repository on uploads (repository_id);

create table mirror (
    repository_id bigint not null,
    entry varchar(255) not null,
    version bigint not null,
    claimed_by text,
    claimed_until bigint,
    primary key (repository_id, entry)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table tombstones (
    repository_id bigint not null,
    entry varchar(255) not null,
    epoch bigint not null,
    primary key (repository_id, entry)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table directories (
    repository_id bigint not null,         -- 0 for those above the repositories
    path varchar(512) not null,
    mtime bigint not null,                 -- nanoseconds
    primary key (repository_id, path)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table manifest_statistics (
    manifest_id bigint primary key,
    pulls bigint not null,
    pulled_at bigint not null,
    foreign key (manifest_id) references manifests (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table tag_statistics (
    repository_id bigint not null,
    name varchar(255) not null,
    pulls bigint not null,
    pulled_at bigint not null,
    primary key (repository_id, name)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table repository_statistics (
    repository_id bigint primary key,
    pulls bigint not null,
    pulled_at bigint not null,
    pushes bigint not null,
    pushed_at bigint not null,
    foreign key (repository_id) references repositories (id)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table users (
    id bigint auto_increment primary key,
    name varchar(255) not null unique,              -- lowercase
    password_hash text not null,
    is_admin bigint not null,
    is_disabled bigint not null,
    must_change bigint not null,
    credential_version bigint not null,
    created_at bigint not null,
    updated_at bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table signing_keys (
    kid varchar(255) primary key,
    algorithm text not null,
    private_key longblob not null,
    created_at bigint not null,
    retired_at bigint
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create table refresh_tokens (
    hash varbinary(65) primary key,
    account varchar(255) not null,
    service text not null,
    scope text not null,
    credential_version bigint not null,
    created_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index refresh_tokens_account on refresh_tokens (account);
create index refresh_tokens_expiry on refresh_tokens (expires_at);

create table audit_log (
    id bigint auto_increment primary key,
    at bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail longtext not null,
    address text not null,
    result text not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index audit_log_at on audit_log (at);
