-- Long and scheduled work: what is to be done, who does it, what came of it.

-- what kinds of jobs there are; the row is locked while one of its jobs is claimed
create table job_kinds (
    kind varchar(64) character set utf8mb4 collate utf8mb4_bin primary key,
    is_enabled bigint not null,
    schedule varchar(255) character set utf8mb4 collate utf8mb4_bin, -- set by an administrator; null for the configured one
    planned varchar(255) character set utf8mb4 collate utf8mb4_bin not null, -- the schedule that next_at follows
    next_at bigint,                         -- null for never
    last_success_at bigint,
    last_failure_at bigint,
    changed_by varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
    changed_at bigint not null
) engine = InnoDB;

create table jobs (
    id bigint auto_increment primary key,
    kind varchar(64) character set utf8mb4 collate utf8mb4_bin not null,
    job_key varchar(400) character set utf8mb4 collate utf8mb4_bin, -- what else of the kind it stands for
    waiting_key varchar(480) character set utf8mb4 collate utf8mb4_bin unique, -- kind and key while it waits: there is one at most
    state bigint not null,                  -- 0 waiting, 1 running, 2 done, 3 failed, 4 cancelled
    payload mediumtext character set utf8mb4 collate utf8mb4_bin not null, -- JSON, as are checkpoint and summary
    checkpoint mediumtext character set utf8mb4 collate utf8mb4_bin,
    priority bigint not null,               -- larger ones first
    run_at bigint not null,                 -- not before
    attempts bigint not null,               -- how often it was begun
    fencing bigint not null,                -- raised with every claim
    owner varchar(255) character set utf8mb4 collate utf8mb4_bin, -- the process that runs it
    lease_until bigint,
    progress_done bigint not null,
    progress_total bigint,
    progress_text text character set utf8mb4 collate utf8mb4_bin not null,
    summary mediumtext character set utf8mb4 collate utf8mb4_bin,
    error text character set utf8mb4 collate utf8mb4_bin, -- of the last attempt
    requested_by varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
    cancelled_by varchar(255) character set utf8mb4 collate utf8mb4_bin,
    created_at bigint not null,
    started_at bigint,                      -- of the last attempt
    ended_at bigint
) engine = InnoDB;
create index jobs_due on jobs (state, kind, run_at);
create index jobs_kind on jobs (kind, id);
create index jobs_state on jobs (state, id);
create index jobs_ended on jobs (ended_at);

create table job_log (
    id bigint auto_increment primary key,
    job_id bigint not null,
    at bigint not null,
    message text character set utf8mb4 collate utf8mb4_bin not null,
    foreign key (job_id) references jobs (id)
) engine = InnoDB;
create index job_log_job on job_log (job_id, id);
