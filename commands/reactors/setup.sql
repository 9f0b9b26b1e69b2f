-- Reactors' checkpoints stand beside the jobs: what loses one loses the other,
-- and a reactor without a checkpoint recovers its jobs from the log.
create table if not exists river.reactor_checkpoint (
    name             text primary key,
    commit_position  bigint not null,
    prepare_position bigint not null,
    installation_id  text not null
);

-- How many runs a project has waiting, and which is its oldest, must not cost
-- what all the others' waiting runs are.
create index if not exists reactor_unfinished_runs
    on river.river_job ((args ->> 'project_id'), scheduled_at, id)
    where queue = 'runs' and state in ('available', 'retryable', 'running', 'scheduled');
