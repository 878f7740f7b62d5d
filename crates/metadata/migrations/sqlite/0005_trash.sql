-- what was deleted and can be brought back; kept by what it held, not by rows that may be gone
create table trash (
    id integer primary key autoincrement,
    kind integer not null,                  -- 0 manifest, 1 tag
    mirror_key text not null,               -- names the file in storage that says the same
    repository_id integer not null,         -- the row when it was deleted; 0 for none
    repository text not null,
    sha256 blob not null,
    sha512 blob,
    is_sha512 integer not null,
    media_type text not null,
    size integer not null,
    artifact_type text,
    subject blob,
    pushed_at integer not null,
    pushed_by text not null,
    trashed_at integer not null,
    trashed_by text not null,
    reason text not null,
    expires_at integer not null
);
create index trash_repository on trash (repository, id);
create index trash_manifest on trash (repository_id, sha256);
create index trash_alias on trash (repository_id, sha512);
create index trash_bytes on trash (sha256);
create index trash_key on trash (mirror_key);
create index trash_expiry on trash (expires_at, id);

create table trash_tags (
    trash_id integer not null,
    name text not null,
    is_sha512 integer not null,
    primary key (trash_id, name)
) without rowid;
create index trash_tags_name on trash_tags (name, trash_id);

-- what the trash holds: bytes of blobs, and manifests as children of an index
create table trash_references (
    trash_id integer not null,
    position integer not null,
    kind integer not null,                  -- 0 config, 1 layer, 2 child
    repository_id integer not null,
    digest blob not null,
    size integer not null,
    primary key (trash_id, position)
) without rowid;
create index trash_references_digest on trash_references (digest, repository_id, kind);

-- files of the trash that storage may not show yet; versions as in mirror
create table trash_files (
    mirror_key text primary key,
    version integer not null
) without rowid;

-- repositories whose folder is being removed (repositories.state is 3)
create table repository_deletions (
    repository_id integer primary key,
    deleted_at integer not null,
    deleted_by text not null,
    reason text not null,
    expires_at integer                      -- of what goes to the trash; null: nothing does
);

create index tag_history_digest on tag_history (repository_id, digest, name);
