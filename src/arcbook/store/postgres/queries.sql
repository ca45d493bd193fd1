

-- commit --
-- Everything that a batch writes, in one round trip.
select commit(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
  $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39,
  $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57)
from own($58, $59)

-- fenced --
-- The executions of a failed commit that another writer was quicker with.
select fenced($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- others --
-- Shards, of some, that another server owns.
select shard from shard where shard = any ($2) and server_id <> $1 and $1 <> ''

-- get_stored --
-- An execution as it is loaded: its row, its snapshot and the number of that.
select e.body, s.seq, s.body
from execution e left join snapshot s using (execution_id) where execution_id = $1

-- get_tail --
-- All events of an execution after a number.
select seq, at, type, step, body from event
where execution_id = $1 and seq > $2 order by seq

-- get_events --
-- Events of an execution in order, from the one after a number.
select seq, at, type, step, body from event
where execution_id = $1 and seq > $2 order by seq limit $3

-- get_resumed --
-- Events by which a step of an execution went on, that hold some bytes: by an index of theirs.
select seq, at, type, step, body from event
where execution_id = $1 and seq > $2 and step = $4 and type = 'command.resumed'
  and position($5::bytea in body) > 0
order by seq limit $3

-- get_chosen_events --
-- Events of one step of an execution, or of given types, or that hold some bytes.
select seq, at, type, step, body from event
where execution_id = $1 and seq > $2
  and ($4 = '' or step = $4) and (cardinality($5::text[]) = 0 or type = any ($5))
  and position($6::bytea in body) > 0
order by seq limit $3

-- get_execution --
-- An execution at a glance.
select body from execution where execution_id = $1

-- get_executions --
-- Executions, newest first, from the one before an id.
select body from execution where execution_id < $1 order by execution_id desc limit $2

-- get_executions_of_path --
-- Executions whose path holds a text, newest first, from the one before an id: the newest of
-- each such path. The paths are found by steps from one to the next in their index.
with recursive known (path) as (
  (select path from execution order by path limit 1)
  union all
  select (select e.path from execution e where e.path > k.path order by e.path limit 1)
  from known k where k.path is not null
)
select e.body
from known k
cross join lateral (
  select execution_id, body from execution
  where path = k.path and execution_id < $1 and ($4 = '' or status = $4)
  order by execution_id desc limit $2
) e
where position(lower($3) in lower(k.path)) > 0
order by e.execution_id desc limit $2

-- get_executions_of_status --
-- Executions of one status, newest first, from the one before an id. As a range, because for
-- an equal status the planner may read all of them by id until it has found enough.
select body from execution
where (status, execution_id) < ($3, $1) and status >= $3
order by status desc, execution_id desc limit $2

-- get_executions_of_parent --
-- Executions that one execution started, newest first, from the one before an id.
select body from execution
where execution_id < $1 and ($3 = '' or position(lower($3) in lower(path)) > 0)
  and ($4 = '' or status = $4) and parent_execution_id = $5 and parent_execution_id <> 0
order by execution_id desc limit $2

-- get_executions_of_tenant --
-- Executions of one tenant, newest first, from the one before an id.
select body from execution
where execution_id < $1 and ($3 = '' or position(lower($3) in lower(path)) > 0)
  and ($4 = '' or status = $4) and ($5::bigint = 0 or parent_execution_id = $5)
  and tenant = $6 and tenant <> '' and ($7 = '' or organization = $7)
order by execution_id desc limit $2

-- get_executions_of_organization --
-- Executions of one organization, whoever's, newest first, from the one before an id.
select body from execution
where execution_id < $1 and ($3 = '' or position(lower($3) in lower(path)) > 0)
  and ($4 = '' or status = $4) and ($5::bigint = 0 or parent_execution_id = $5)
  and organization = $6 and organization <> ''
order by execution_id desc limit $2

-- get_unfinished --
-- Executions of some shards that have not ended, from the one after an id, oldest first.
select execution_id from execution
where ended_at = 0 and shard = any ($1) and execution_id > $2
order by execution_id limit $3

-- get_results --
-- Values of an execution that are kept by reference.
select ref, step, bytes, sha256, store from result where execution_id = $1 order by ref

-- delete_execution --
-- Forget an execution.
select delete_execution($1, $2)

-- post --
-- Leave an input for the owner of an execution.
insert into inbox (execution_id, body) values ($1, $2)

-- take --
-- Inputs that wait for executions.
select number, execution_id, body from inbox where execution_id = any ($1) order by number

-- drop --
-- Remove inputs that were taken.
delete from inbox where number = any ($1)

-- register --
-- Store a document unless it is there, and return its id.
select register($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- get_latest_entry --
-- The latest version of a document.
select * from catalog where path = $1 and archived_at = 0 order by version desc limit 1

-- get_entry_version --
-- One version of a document.
select * from catalog where path = $1 and version = $2

-- get_entry_by_id --
-- A version of a document by its id.
select * from catalog where catalog_id = $1

-- get_entries --
-- The latest version of each document, after a path.
select * from (
  select distinct on (path) * from catalog
  where archived_at = 0 and path > $2
  order by path, version desc
) as latest
where $1 = '' or kind = $1
order by path limit $3

-- get_entries_page --
-- The latest version of each document of some kind and owner, after a path.
select * from (
  select distinct on (path) * from catalog
  where archived_at = 0 and path > $2
  order by path, version desc
) as latest
where ($1 = '' or kind = $1) and ($3 = '' or tenant = $3) and ($4 = '' or organization = $4)
order by path limit $5

-- count_entries --
-- How many documents of a kind there are.
select count(*) from (
  select distinct on (path) kind from catalog
  where archived_at = 0
  order by path, version desc
) as latest
where $1 = '' or kind = $1

-- archive --
-- Take versions of a document out of use, or bring them back.
update catalog set archived_at = $3::bigint
where path = $1 and ($2::integer is null or version = $2) and (archived_at = 0) = ($3::bigint <> 0)
returning *

-- put_credential --
-- Store a credential, in place of one of the same name.
insert into credential
  (name, type, sealed, description, tags, created_at, updated_at, tenant, organization)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (name) do update set
  type = excluded.type, sealed = excluded.sealed, description = excluded.description,
  tags = excluded.tags, updated_at = excluded.updated_at, tenant = excluded.tenant,
  organization = excluded.organization

-- get_credential --
-- A credential by name.
select * from credential where name = $1

-- get_credentials --
-- Credentials, after a name.
select * from credential where name > $1 order by name limit $2

-- delete_credential --
-- Forget a credential.
delete from credential where name = $1 returning 1

-- get_commands --
-- Commands of some shards that are out, by id, from the one after an id.
select command_id, execution_id, step, pool, generation, attempt, issued_at, worker from command
where shard = any ($1) and command_id > $2 order by command_id limit $3

-- get_commands_of --
-- Commands of an execution that are out: ids between two, without these, in order.
select command_id, execution_id, step, pool, generation, attempt, issued_at, worker from command
where command_id > $1 and command_id < $2 order by command_id limit $3

-- get_all_commands --
-- Commands that are out, by id, from the one after an id.
select command_id, execution_id, step, pool, generation, attempt, issued_at, worker from command
where command_id > $1 order by command_id limit $2

-- count_executions --
-- Executions of each status.
select status, count(*) from execution group by status

-- backlog --
-- Commands of each pool that are pending, and claimed.
select pool, count(*) filter (where worker = ''), count(*) filter (where worker <> '')
from command group by pool

-- join --
-- Enter a server.
select * from server_join($1, $2, $3, $4, $5)

-- beat --
-- Extend a server's lease; the shards it owns, and the number of servers alive.
select owned, alive from server_beat($1, $2)

-- release --
-- Give shards up.
select server_release($1, $2)

-- leave --
-- Remove a server.
select server_leave($1)

-- get_servers --
-- The servers that are alive.
select server_id, machine, version, url, started_at, expires_at from server
where expires_at > now_us() order by server_id

-- put_worker --
-- Enter a worker, or note that it is still there.
insert into worker (worker_id, started_at, seen_at, body)
select $1, at, at, $2 from now_us() as at
on conflict (worker_id) do update set seen_at = excluded.seen_at, body = excluded.body

-- get_workers --
-- The workers seen within so many microseconds.
select started_at, seen_at, body from worker where seen_at >= now_us() - $1::bigint
order by worker_id

-- delete_worker --
-- Remove a worker.
delete from worker where worker_id = $1

-- put_schedule --
-- Store a schedule, in place of one of the same name.
insert into schedule (name, paused, next_at, last_at, last_execution_id, body)
values ($1, $2, $3, $4, $5, $6)
on conflict (name) do update set
  paused = excluded.paused, next_at = excluded.next_at, last_at = excluded.last_at,
  last_execution_id = excluded.last_execution_id, body = excluded.body

-- get_schedules --
-- Schedules of some owner or all, after a name. Few have an owner: it is read from the body.
select body, next_at, last_at, last_execution_id from schedule
where name > $1
  and ($3 = '' or convert_from(body, 'UTF8')::json ->> 'tenant' = $3)
  and ($4 = '' or convert_from(body, 'UTF8')::json ->> 'organization' = $4)
order by name limit $2

-- get_schedule --
-- A schedule by its name.
select body, next_at, last_at, last_execution_id from schedule where name = $1

-- get_due_schedules --
-- Schedules that are due, the longest due first.
select body, next_at, last_at, last_execution_id from schedule
where not paused and next_at > 0 and next_at <= $1 order by next_at, name limit $2

-- skip_tick --
-- A schedule that still waits for a time waits for the next one.
update schedule set next_at = $3 where name = $1 and next_at = $2 returning 1

-- delete_schedule --
-- Delete a schedule.
delete from schedule where name = $1 returning 1

-- ensure_partitions --
-- Make the tables of events of the months to come.
select ensure_partitions(coalesce(to_timestamp($1::bigint / 1e6), clock_timestamp()), $2)

-- retention --
-- Forget the months that ended before a time.
select retention(to_timestamp($1::bigint / 1e6))

-- count_shards --
-- The number of shards that this database was made for.
select count(*) from shard

-- clock_us --
-- The time by the clock that leases go by, in microseconds since the epoch.
select (extract(epoch from clock_timestamp()) * 1000000)::bigint

-- get_key --
-- The execution that has a key at a time.
select execution_id from start_key where path = $1 and key = $2 and expires_at > $3

-- forget_keys --
-- Forget keys that have expired, and count them.
with gone as (delete from start_key where expires_at < $1 returning 1) select count(*) from gone

-- put_trials --
-- Note which executions an owner tries to decide, in place of those that it tried before.
with gone as (
  delete from trial where owner = $1 and not execution_id = any ($2::bigint[])
)
insert into trial (execution_id, owner)
select execution_id, $1 from unnest($2::bigint[]) as tried (execution_id)
on conflict do nothing

-- get_trials --
-- Executions that were being decided, with who decided them.
select execution_id, owner from trial order by execution_id, owner

-- forget_ended_trials --
-- Forget who tried executions that have ended or are gone.
delete from trial t where not exists (
  select from execution e where e.execution_id = t.execution_id and e.ended_at = 0)

-- forget_trials --
-- Forget who tried executions, whoever it was.
delete from trial where execution_id = any ($1::bigint[])

-- put_token --
-- Store a token, in place of one of the same id.
insert into token (token_id, body) values ($1, $2)
on conflict (token_id) do update set body = excluded.body

-- get_token --
-- A token by its id.
select body from token where token_id = $1

-- get_tokens --
-- Tokens, after an id.
select token_id, body from token where token_id > $1 order by token_id limit $2

-- delete_token --
-- Delete a token.
delete from token where token_id = $1 returning 1

-- put_note --
-- Note a change, or what came of it.
insert into change_audit (note_id, actor, action, subject, body, tenant, organization)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (note_id) do update set subject = excluded.subject, body = excluded.body

-- get_notes --
-- Changes, newest first, from the one before an id.
select body from change_audit
where note_id < $1 and ($3 = '' or actor = $3) and ($4 = '' or action = $4)
  and ($5 = '' or subject = $5) and ($6 = '' or tenant = $6) and ($7 = '' or organization = $7)
order by note_id desc limit $2

-- note_secret --
-- Append a row to the audit of secrets, with the labels of its execution if it has one.
insert into secret_audit (at, who, action, alias, execution_id, outcome, tenant, organization)
values ($1, $2, $3, $4, $5::bigint, $6,
  coalesce((select tenant from execution where execution_id = $5), $7),
  coalesce((select organization from execution where execution_id = $5), $8))

-- get_secret_notes --
-- Rows of the audit of secrets, newest first, from the one before a number.
select note_id, at, who, action, alias, execution_id, outcome, tenant, organization
from secret_audit
where ($1::bigint = 0 or note_id < $1) and ($2::text = '' or alias = $2)
  and ($3::bigint = 0 or execution_id = $3) and ($4::text = '' or who = $4)
  and ($5::text = '' or outcome = $5) and ($6::text = '' or tenant = $6)
  and ($7::text = '' or organization = $7)
order by note_id desc limit $8

-- replace_sealed --
-- Put a sealed record in place of another, if it is still that one.
update credential set sealed = $3 where name = $1 and sealed = $2 returning 1
