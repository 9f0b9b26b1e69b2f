create table access_v1_users (
    id     text    primary key,
    roles  text[]  not null,
    active boolean not null
);

create table access_v1_logins (
    family  text    primary key,
    user_id text    not null,
    key_id  text    not null, -- of the API key that proved it, or empty
    ended   boolean not null
);

create index access_v1_logins_of_user on access_v1_logins (user_id) where not ended;
