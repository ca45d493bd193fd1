-- Keys of requests, tokens of the API, the audit of changes, tenants.

create table start_key (
  path         text   collate "C" not null,
  key          text   collate "C" not null,
  execution_id bigint not null,
  started_at   bigint not null,
  expires_at   bigint not null,
  primary key (path, key)
);

create index start_key_expiry on start_key (expires_at);

create table token (
  token_id text  collate "C" primary key,
  body     bytea not null
);

create table change_audit (
  note_id bigint  primary key,
  actor   text    not null,
  action  text    not null,
  subject text    not null,
  body    bytea   not null
);

alter table execution
  add column tenant text not null default '',
  add column organization text not null default '';

create index execution_tenant on execution (tenant, execution_id) where tenant <> '';
create index execution_organization on execution (organization, execution_id)
  where organization <> '';

-- The commit of 0002, with keys and tenants.
drop function fenced;
drop function commit;

-- The executions of a commit that another writer was quicker with: asked when it has failed.
create function fenced(
  p_execution bigint[], p_after integer[],
  p_claim_execution bigint[], p_claim_command text[], p_claim_generation integer[],
  p_claim_attempt integer[],
  p_tick_execution bigint[], p_tick_name text[], p_tick_due bigint[],
  p_key_execution bigint[], p_key_path text[], p_key text[], p_key_at bigint[]
) returns bigint[] language sql stable as $$
  select array_agg(distinct id) from (
    select f.id from unnest(p_execution, p_after) as f (id, seq)
    where f.seq <> coalesce((select h.seq from head h where h.execution_id = f.id), 0)
    union all
    select k.id
    from unnest(p_claim_execution, p_claim_command, p_claim_generation, p_claim_attempt)
      as k (id, command_id, generation, attempt)
    where not exists (
      select from command c where c.command_id = k.command_id
        and (c.generation, c.attempt, c.worker) = (k.generation, k.attempt, ''))
    union all
    select t.id from unnest(p_tick_execution, p_tick_name, p_tick_due) as t (id, name, due_at)
    where not exists (select from schedule s where s.name = t.name and s.next_at = t.due_at)
    union all
    select y.id from unnest(p_key_execution, p_key_path, p_key, p_key_at) as y (id, path, key, at)
    where exists (
      select from start_key k
      where k.path = y.path and k.key = y.key and k.expires_at > y.at)
  ) as concerned
$$;

-- Raises AB001 if the commit is fenced; then nothing of it is written.
create function commit(
  p_execution bigint[], p_after integer[],
  p_claim_execution bigint[], p_claim_command text[], p_claim_generation integer[],
  p_claim_attempt integer[],
  p_tick_execution bigint[], p_tick_name text[], p_tick_due bigint[],
  p_key_execution bigint[], p_key_path text[], p_key text[], p_key_at bigint[],
  p_last integer[], p_claim_worker text[], p_tick_next bigint[], p_key_expires bigint[],
  p_event_execution bigint[], p_event_seq integer[], p_event_at bigint[], p_event_type text[],
  p_event_step text[], p_event_ends boolean[], p_event_body bytea[],
  p_row_execution bigint[], p_row_shard smallint[], p_row_path text[], p_row_status text[],
  p_row_seq integer[], p_row_parent bigint[], p_row_ended bigint[], p_row_body bytea[],
  p_row_tenant text[], p_row_organization text[],
  p_snapshot_execution bigint[], p_snapshot_seq integer[], p_snapshot_body bytea[],
  p_result_execution bigint[], p_result_ref text[], p_result_step text[],
  p_result_bytes bigint[], p_result_sha256 text[], p_result_store text[],
  p_timed bigint[],
  p_timer_execution bigint[], p_timer_id text[], p_timer_due bigint[],
  p_done text[],
  p_issued_command text[], p_issued_execution bigint[], p_issued_shard smallint[],
  p_issued_step text[], p_issued_pool text[], p_issued_generation integer[],
  p_issued_attempt integer[], p_issued_at bigint[], p_issued_worker text[]
) returns void language plpgsql as $$
declare
  moved integer := 0;
  others integer := 0;
begin
  -- Each writer moves the heads on from where it believes they are. Rows are locked in one
  -- order, so that two servers cannot wait for each other.
  if 0 = any (p_after) then
    insert into head (execution_id, seq)
    select f.id, f.last from unnest(p_execution, p_after, p_last) as f (id, seq, last)
    where f.seq = 0
    on conflict do nothing;
    get diagnostics moved = row_count;
  end if;
  if 0 < any (p_after) then
    update head h set seq = f.last
    from unnest(p_execution, p_after, p_last) as f (id, seq, last)
    where h.execution_id = f.id and h.seq = f.seq and f.seq > 0;
    get diagnostics others = row_count;
  end if;
  if moved + others <> coalesce(cardinality(p_execution), 0) then
    raise exception 'the commit is fenced' using errcode = 'AB001';
  end if;

  if p_claim_command is not null then
    perform from command c where c.command_id = any (p_claim_command)
      order by c.command_id for update;
    update command c set worker = k.worker
    from unnest(p_claim_command, p_claim_generation, p_claim_attempt, p_claim_worker)
      as k (command_id, generation, attempt, worker)
    where c.command_id = k.command_id
      and (c.generation, c.attempt, c.worker) = (k.generation, k.attempt, '');
    get diagnostics moved = row_count;
    if moved <> cardinality(p_claim_command) then
      raise exception 'a claim is fenced' using errcode = 'AB001';
    end if;
  end if;
  if p_tick_name is not null then
    perform from schedule s where s.name = any (p_tick_name) order by s.name for update;
    update schedule s set
      next_at = t.next_at, last_at = t.due_at, last_execution_id = t.id
    from unnest(p_tick_execution, p_tick_name, p_tick_due, p_tick_next)
      as t (id, name, due_at, next_at)
    where s.name = t.name and s.next_at = t.due_at;
    get diagnostics moved = row_count;
    if moved <> cardinality(p_tick_name) then
      raise exception 'a tick is fenced' using errcode = 'AB001';
    end if;
  end if;
  if p_key is not null then
    -- A key that has expired goes to whoever comes next.
    insert into start_key as k (path, key, execution_id, started_at, expires_at)
    select y.path, y.key, y.id, y.at, y.expires_at
    from unnest(p_key_execution, p_key_path, p_key, p_key_at, p_key_expires)
      as y (id, path, key, at, expires_at)
    order by y.path, y.key
    on conflict (path, key) do update set
      execution_id = excluded.execution_id, started_at = excluded.started_at,
      expires_at = excluded.expires_at
    where k.expires_at <= excluded.started_at;
    get diagnostics moved = row_count;
    if moved <> cardinality(p_key) then
      raise exception 'a key is fenced' using errcode = 'AB001';
    end if;
  end if;

  if p_event_execution is not null then
    insert into event (execution_id, seq, at, type, step, ends, body)
    select * from unnest(
      p_event_execution, p_event_seq, p_event_at, p_event_type, p_event_step, p_event_ends,
      p_event_body);
  end if;

  if p_row_execution is not null then
    insert into execution
      (execution_id, shard, path, status, seq, parent_execution_id, ended_at, body, tenant,
       organization)
    select * from unnest(
      p_row_execution, p_row_shard, p_row_path, p_row_status, p_row_seq, p_row_parent,
      p_row_ended, p_row_body, p_row_tenant, p_row_organization)
    on conflict (execution_id) do update set
      status = excluded.status, seq = excluded.seq, ended_at = excluded.ended_at,
      body = excluded.body;
  end if;

  if p_snapshot_execution is not null then
    insert into snapshot (execution_id, seq, body)
    select * from unnest(p_snapshot_execution, p_snapshot_seq, p_snapshot_body)
    on conflict (execution_id) do update set seq = excluded.seq, body = excluded.body;
  end if;

  if p_result_execution is not null then
    insert into result (execution_id, ref, step, bytes, sha256, store)
    select * from unnest(
      p_result_execution, p_result_ref, p_result_step, p_result_bytes, p_result_sha256,
      p_result_store)
    on conflict (execution_id, ref) do update set
      step = excluded.step, bytes = excluded.bytes, sha256 = excluded.sha256,
      store = excluded.store;
  end if;

  if p_timed is not null then
    delete from timer where execution_id = any (p_timed);
    insert into timer (execution_id, timer_id, due_at)
    select * from unnest(p_timer_execution, p_timer_id, p_timer_due);
  end if;

  if p_done is not null then
    delete from command where command_id = any (p_done);
  end if;
  if p_issued_command is not null then
    insert into command
      (command_id, execution_id, shard, step, pool, generation, attempt, issued_at, worker)
    select * from unnest(
      p_issued_command, p_issued_execution, p_issued_shard, p_issued_step, p_issued_pool,
      p_issued_generation, p_issued_attempt, p_issued_at, p_issued_worker)
    on conflict (command_id) do update set
      execution_id = excluded.execution_id, shard = excluded.shard, step = excluded.step,
      pool = excluded.pool, generation = excluded.generation, attempt = excluded.attempt,
      issued_at = excluded.issued_at, worker = excluded.worker;
  end if;
end
$$;
