create table runs_v1 (
    id            text        primary key,
    session_id    text        not null,
    project_id    text        not null,
    status        text        not null,
    progress      double precision not null,
    requested_at  timestamptz not null,
    started_at    timestamptz not null, -- of the request until an attempt starts
    ended_at      timestamptz,
    ended         bigint,               -- the journal's revision of the terminal event
    requested     bigint      not null, -- the journal's revision of the request
    message_id    text        not null, -- of the answer, or empty
    summary       text        not null,
    input_tokens  bigint,
    output_tokens bigint,
    cost_usd      double precision,
    error_code    text        not null,
    error_message text        not null
);

create index runs_v1_of_project on runs_v1 (project_id, requested_at);
