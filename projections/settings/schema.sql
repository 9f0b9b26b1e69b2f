create table settings_v1 (
    stream   text   primary key, -- of which there is one
    revision bigint not null,    -- of the last event: the ETag
    settings text   not null
);

create table settings_v1_changes (
    cursor        bigint      primary key, -- the event's position and the change's place in it
    id            text        not null,
    ts            timestamptz not null,
    actor_user_id text        not null,
    request_id    text        not null,    -- or empty
    path          text        not null,
    from_value    text        not null,
    to_value      text        not null
);
