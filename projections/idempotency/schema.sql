create table idempotency_v1 (
    stream   text   not null,
    key      text   not null, -- a keyed hash
    revision bigint not null, -- of the command's first event
    primary key (stream, key)
);
