create table providers_v1 (
    provider_id text        primary key,
    checked_at  timestamptz not null, -- when it was last asked
    reachable   boolean     not null,
    reason      text        not null  -- or empty
);
