create schema if not exists vault;

create table if not exists vault.keys (
	scope      text        not null,
	owner      text        not null,
	wrapped    bytea,
	created_at timestamptz not null default now(),
	erased_at  timestamptz,
	primary key (scope, owner),
	check ((wrapped is null) = (erased_at is not null))
);

comment on table vault.keys is
	'Wrapped data keys. Not derived from the log: back it up, never drop it. A row without a key was erased on purpose.';
