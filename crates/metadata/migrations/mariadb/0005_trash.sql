-- what was deleted and can be brought back; kept by what it held, not by rows that may be gone
create table trash (
    id bigint auto_increment primary key,
    kind bigint not null,                  -- 0 manifest, 1 tag
    mirror_key varchar(128) not null,               -- names the file in storage that says the same
    repository_id bigint not null,         -- the row when it was deleted; 0 for none
    repository varchar(255) not null,
    sha256 varbinary(65) not null,
    sha512 varbinary(65),
    is_sha512 bigint not null,
    media_type text not null,
    size bigint not null,
    artifact_type text,
    subject varbinary(65),
    pushed_at bigint not null,
    pushed_by text not null,
    trashed_at bigint not null,
    trashed_by text not null,
    reason text not null,
    expires_at bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index trash_repository on trash (repository, id);
create index trash_manifest on trash (repository_id, sha256);
create index trash_alias on trash (repository_id, sha512);
create index trash_bytes on trash (sha256);
create index trash_key on trash (mirror_key);
create index trash_expiry on trash (expires_at, id);

create table trash_tags (
    trash_id bigint not null,
    name varchar(255) not null,
    is_sha512 bigint not null,
    primary key (trash_id, name)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index trash_tags_name on trash_tags (name, trash_id);

-- what the trash holds: bytes of blobs, and manifests as children of an index
create table trash_references (
    trash_id bigint not null,
    position bigint not null,
    kind bigint not null,                  -- 0 config, 1 layer, 2 child
    repository_id bigint not null,
    digest varbinary(65) not null,
    size bigint not null,
    primary key (trash_id, position)
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;
create index trash_references_digest on trash_references (digest, repository_id, kind);

-- files of the trash that storage may not show yet; versions as in mirror
create table trash_files (
    mirror_key varchar(128) primary key,
    version bigint not null
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

-- repositories whose folder is being removed (repositories.state is 3)
create table repository_deletions (
    repository_id bigint primary key,
    deleted_at bigint not null,
    deleted_by text not null,
    reason text not null,
    expires_at bigint                      -- of what goes to the trash; null: nothing does
) engine = InnoDB character set utf8mb4 collate utf8mb4_bin;

create index tag_history_digest on tag_history (repository_id, digest, name);
