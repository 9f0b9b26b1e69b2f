create table sessions_v1 (
    id          text        primary key,
    project_id  text        not null,
    position    bigint      not null, -- of the event that created it: the list's cursor
    revision    bigint      not null, -- of the last event that changed its own fields: its ETag
    title       text        not null,
    status      text        not null,
    provider_id text        not null,
    model_id    text        not null,
    config      text        not null,
    memory      text        not null,
    tags        text[]      not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null
);

create unique index sessions_v1_of_project on sessions_v1 (project_id, position);
