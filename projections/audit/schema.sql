create table audit_v1 (
    position   bigint not null primary key,
    stream     text   not null,
    revision   bigint not null,
    type       text   not null,
    project_id text   not null, -- or empty
    actor      text   not null, -- or empty
    ts         timestamptz not null
);

create index audit_v1_by_type on audit_v1 (type, position);
create index audit_v1_by_project on audit_v1 (project_id, position);
create index audit_v1_by_project_and_type on audit_v1 (project_id, type, position);
create index audit_v1_by_actor on audit_v1 (actor, position);
create index audit_v1_by_time on audit_v1 (ts, position);
