create table messages_v1 (
    session_id text        not null,
    position   bigint      not null, -- of its event: the list's cursor
    id         text        not null,
    project_id text        not null,
    run_id     text        not null, -- of the run that answered with it, or empty
    role       text        not null,
    content    text        not null,
    meta       text        not null,
    ts         timestamptz not null,
    primary key (session_id, position)
);

create index messages_v1_of_project on messages_v1 (project_id);
