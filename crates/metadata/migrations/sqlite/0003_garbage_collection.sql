-- What a change may have made garbage; looked at when it has been left alone for the grace period.
create table gc_queue (
    kind integer not null,                  -- 0 blob link, 1 blob, 2 referrer, 3 untagged manifest
    repository_id integer not null,         -- 0 for a blob
    target_id integer not null,             -- the row of the blob or manifest
    since integer not null,                 -- when it last changed
    primary key (kind, repository_id, target_id)
) without rowid;
create index gc_queue_since on gc_queue (kind, since);

create table gc_runs (
    id integer primary key autoincrement,
    cause text not null,                    -- what started it
    started_at integer not null,
    ended_at integer,
    outcome text not null,                  -- running, done, cancelled, or why it failed
    manifests integer not null,             -- removed
    links integer not null,                 -- removed
    condemned integer not null,
    blobs integer not null,                 -- deleted
    bytes integer not null                  -- freed
);

-- when a tag last moved away from it or was deleted
alter table manifests add column tag_left_at integer;
