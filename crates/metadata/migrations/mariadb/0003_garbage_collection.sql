-- What a change may have made garbage; looked at when it has been left alone for the grace period.
create table gc_queue (
    kind bigint not null,                   -- 0 blob link, 1 blob, 2 referrer, 3 untagged manifest
    repository_id bigint not null,          -- 0 for a blob
    target_id bigint not null,              -- the row of the blob or manifest
    since bigint not null,                  -- when it last changed
    primary key (kind, repository_id, target_id)
) engine = InnoDB;
create index gc_queue_since on gc_queue (kind, since);

create table gc_runs (
    id bigint auto_increment primary key,
    cause varchar(64) character set utf8mb4 collate utf8mb4_bin not null, -- what started it
    started_at bigint not null,
    ended_at bigint,
    outcome text character set utf8mb4 collate utf8mb4_bin not null, -- running, done, cancelled, or why it failed
    manifests bigint not null,              -- removed
    links bigint not null,                  -- removed
    condemned bigint not null,
    blobs bigint not null,                  -- deleted
    bytes bigint not null                   -- freed
) engine = InnoDB;

-- when a tag last moved away from it or was deleted
alter table manifests add column tag_left_at bigint;
