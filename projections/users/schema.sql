create table users_v1 (
    id         text        primary key,
    position   bigint      not null unique, -- of the event that created it: the list's cursor
    revision   bigint      not null,        -- of the last event: its ETag
    name       text        not null,
    email      text        not null,
    roles      text[]      not null,
    disabled   boolean     not null,
    created_at timestamptz not null
);
