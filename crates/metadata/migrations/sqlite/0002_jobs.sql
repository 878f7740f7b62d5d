-- Long and scheduled work: what is to be done, who does it, what came of it.

-- what kinds of jobs there are; the row is locked while one of its jobs is claimed
create table job_kinds (
    kind text primary key,
    is_enabled integer not null,
    schedule text,                          -- set by an administrator; null for the configured one
    planned text not null,                  -- the schedule that next_at follows
    next_at integer,                        -- null for never
    last_success_at integer,
    last_failure_at integer,
    changed_by text not null,
    changed_at integer not null
) without rowid;

create table jobs (
    id integer primary key autoincrement,
    kind text not null,
    job_key text,                           -- what else of the kind it stands for
    waiting_key text unique,                -- kind and key while it waits: there is one at most
    state integer not null,                 -- 0 waiting, 1 running, 2 done, 3 failed, 4 cancelled
    payload text not null,                  -- JSON, as are checkpoint and summary
    checkpoint text,
    priority integer not null,              -- larger ones first
    run_at integer not null,                -- not before
    attempts integer not null,              -- how often it was begun
    fencing integer not null,               -- raised with every claim
    owner text,                             -- the process that runs it
    lease_until integer,
    progress_done integer not null,
    progress_total integer,
    progress_text text not null,
    summary text,
    error text,                             -- of the last attempt
    requested_by text not null,
    cancelled_by text,
    created_at integer not null,
    started_at integer,                     -- of the last attempt
    ended_at integer
);
create index jobs_due on jobs (state, kind, run_at);
create index jobs_kind on jobs (kind, id);
create index jobs_state on jobs (state, id);
create index jobs_ended on jobs (ended_at);

create table job_log (
    id integer primary key autoincrement,
    job_id integer not null references jobs (id),
    at integer not null,
    message text not null
);
create index job_log_job on job_log (job_id, id);
