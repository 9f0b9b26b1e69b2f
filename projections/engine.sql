-- What the engine keeps beside the read models, in the connection's current
-- schema. Nothing here is a fact: all of it can be made again from the log.
create table if not exists projection_checkpoint (
    name             text   primary key,
    commit_position  bigint not null,
    prepare_position bigint not null,
    schema_hash      text   not null,
    installation_id  text   not null,
    -- Why the projector does not get past its position; null while it does.
    failure          text
) with (fillfactor = 50); -- a row is rewritten thousands of times a second: in place, if there is room

-- Events that an operator told a projector to leave out, with the reason.
create table if not exists projection_skip (
    name             text   not null,
    commit_position  bigint not null,
    prepare_position bigint not null,
    reason           text   not null,
    primary key (name, commit_position, prepare_position)
);

-- Moves a group of checkpoints from one position to the next, all of them or
-- none: it is the first statement of a batch, and its error undoes the rest. The
-- commit need not wait for the disk, since rows and checkpoints are lost together
-- and the log fills them again.
create or replace function projection_advance(
    projectors text[], from_commit bigint, from_prepare bigint, to_commit bigint, to_prepare bigint
) returns void language plpgsql as $$
declare
    moved bigint;
begin
    update projection_checkpoint
       set commit_position = to_commit, prepare_position = to_prepare, failure = null
     where name = any (projectors) and commit_position = from_commit and prepare_position = from_prepare;
    get diagnostics moved = row_count;
    if moved <> cardinality(projectors) then
        raise exception '% of % checkpoints are where the batch started', moved, cardinality(projectors)
            using errcode = 'G4F01';
    end if;
    perform set_config('synchronous_commit', 'off', true);
end
$$;
