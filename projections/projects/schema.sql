create table projects_v1 (
    id          text        primary key,
    position    bigint      not null unique, -- of the event that created it: the lists' cursor
    revision    bigint      not null,        -- of the last event that changed its own fields: its ETag
    name        text        not null,
    description text        not null,
    status      text        not null,
    environment text        not null,
    repo        text        not null,
    sessions    integer     not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null
);
