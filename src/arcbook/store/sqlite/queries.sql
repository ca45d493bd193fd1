-- insert_event --
-- Append one event of an execution.
insert into event (execution_id, seq, at, type, step, body, ends) values (?, ?, ?, ?, ?, ?, ?)

-- put_execution --
-- Write an execution at a glance.
insert into execution
  (execution_id, path, status, seq, parent_execution_id, ended_at, body, tenant, organization)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (execution_id) do update set
  status = excluded.status, seq = excluded.seq, ended_at = excluded.ended_at, body = excluded.body

-- last_seq --
-- Number of the last event of an execution.
select coalesce(max(seq), 0) from event where execution_id = ?

-- put_snapshot --
-- Save a state; an older one is of no use any more.
insert into snapshot (execution_id, seq, body) values (?, ?, ?)
on conflict (execution_id) do update set seq = excluded.seq, body = excluded.body

-- clear_timers --
-- Forget an execution's timers.
delete from timer where execution_id = ?

-- put_timer --
-- Set one timer.
insert into timer (execution_id, timer_id, due_at) values (?, ?, ?)

-- put_result --
-- Record a value kept by reference.
insert or replace into result (execution_id, ref, step, bytes, sha256, store)
values (?, ?, ?, ?, ?, ?)

-- get_execution --
-- An execution at a glance.
select body from execution where execution_id = ?

-- get_snapshot --
-- The saved state of an execution.
select seq, body from snapshot where execution_id = ?

-- get_events --
-- Events of an execution in order, from the one after a number.
select seq, at, type, step, body from event
where execution_id = ? and seq > ? order by seq limit ?

-- get_chosen_events --
-- Events of one step of an execution, of given types, that hold some bytes.
select seq, at, type, step, body from event
where execution_id = ? and seq > ? and (? = '' or step = ?)
  and (? = '[]' or type in (select value from json_each(?)))
  and (? = x'' or instr(body, ?) > 0)
order by seq limit ?

-- get_executions --
-- Executions, newest first, from the one before an id.
select body from execution
where execution_id < ? and (? = '' or status = ?)
  and (? = '' or instr(lower(path), lower(?)) > 0) and (? = 0 or parent_execution_id = ?)
  and (? = '' or tenant = ?) and (? = '' or organization = ?)
order by execution_id desc limit ?

-- get_unfinished --
-- Executions that have not ended, oldest first.
select execution_id from execution where ended_at = 0 order by execution_id

-- get_results --
-- Values of an execution that are kept by reference.
select ref, step, bytes, sha256, store from result where execution_id = ? order by ref

-- post --
-- Leave an input for the owner of an execution.
insert into inbox (execution_id, body) values (?, ?)

-- take --
-- Inputs that wait for executions.
select number, execution_id, body from inbox
where execution_id in (select value from json_each(?)) order by number

-- drop --
-- Remove an input that was taken.
delete from inbox where number = ?

-- get_latest_entry --
-- The latest version of a document.
select * from catalog where path = ? and archived_at = 0 order by version desc limit 1

-- get_entry_version --
-- One version of a document.
select * from catalog where path = ? and version = ?

-- get_entry_by_id --
-- A version of a document by its id.
select * from catalog where catalog_id = ?

-- get_entries --
-- The latest version of each document.
select * from catalog c where archived_at = 0 and (? = '' or kind = ?) and version =
  (select max(version) from catalog where path = c.path and archived_at = 0)
order by path

-- get_entries_page --
-- The latest version of each document of some kind and owner, after a path.
select * from catalog c
where path > ? and archived_at = 0 and (? = '' or kind = ?) and (? = '' or tenant = ?)
  and (? = '' or organization = ?) and version =
  (select max(version) from catalog where path = c.path and archived_at = 0)
order by path limit ?

-- count_entries --
-- How many documents of a kind there are.
select count(*) from catalog c where archived_at = 0 and (? = '' or kind = ?) and version =
  (select max(version) from catalog where path = c.path and archived_at = 0)

-- archive --
-- Take versions of a document out of use, or bring them back.
update catalog set archived_at = ?
where path = ? and (? is null or version = ?) and (archived_at = 0) = (? <> 0)
returning *

-- put_entry --
-- Store a version of a document.
insert into catalog
  (catalog_id, path, version, kind, sha256, folder, created_at, archived_at, content, tenant,
   organization)
values
  (?, ?, (select coalesce(max(version), 0) + 1 from catalog where path = ?), ?, ?, ?, ?, 0, ?, ?, ?)

-- put_credential --
-- Store a credential, in place of one of the same name.
insert into credential
  (name, type, sealed, description, tags, created_at, updated_at, tenant, organization)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (name) do update set
  type = excluded.type, sealed = excluded.sealed, description = excluded.description,
  tags = excluded.tags, updated_at = excluded.updated_at, tenant = excluded.tenant,
  organization = excluded.organization

-- get_credential --
-- A credential by name.
select * from credential where name = ?

-- get_credentials --
-- All credentials.
select * from credential order by name

-- delete_credential --
-- Forget a credential.
delete from credential where name = ?

-- has_event --
-- Whether an event is there.
select 1 from event where execution_id = ? and seq = ?

-- is_pending --
-- Whether a command waits for a claim as its claimer believes.
select 1 from command where command_id = ? and generation = ? and attempt = ? and worker = ''

-- is_due --
-- Whether a schedule still waits for a time.
select 1 from schedule where name = ? and next_at = ?

-- put_command --
-- Give a command out, in place of one of the same id.
insert or replace into command
  (command_id, execution_id, step, pool, generation, attempt, issued_at, worker)
values (?, ?, ?, ?, ?, ?, ?, ?)

-- delete_command --
-- A command is out no more.
delete from command where command_id = ?

-- claim --
-- A command becomes a worker's.
update command set worker = ? where command_id = ?

-- tick --
-- A schedule has started an execution, and waits for its next time.
update schedule set next_at = ?, last_at = ?, last_execution_id = ? where name = ?

-- get_commands --
-- Commands that are out, by id, from the one after an id.
select * from command where command_id > ? order by command_id limit ?

-- get_commands_of --
-- Commands of an execution that are out: ids between two, without these, in order.
select * from command where command_id > ? and command_id < ? order by command_id limit ?

-- count_executions --
-- Executions of each status.
select status, count(*) from execution group by status

-- backlog --
-- Commands of each pool that are pending, and claimed.
select pool, sum(worker = ''), sum(worker <> '') from command group by pool

-- bury_servers --
-- Forget the servers whose lease has ended.
delete from server where expires_at <= ?

-- get_machines --
-- Numbers that servers have.
select machine from server

-- put_server --
-- Enter a server.
insert into server (server_id, machine, version, url, started_at, expires_at)
values (?, ?, ?, ?, ?, ?)

-- extend_server --
-- Extend a server's lease.
update server set expires_at = ? where server_id = ?

-- count_servers --
-- How many servers there are.
select count(*) from server

-- get_owned --
-- Shards that servers own.
select shard, server_id from shard where server_id in (select server_id from server)

-- get_owner --
-- The server that owns a shard.
select server_id from shard where shard = ?

-- take_shard --
-- A shard becomes a server's.
insert or replace into shard (server_id, shard) values (?, ?)

-- release_shard --
-- A server gives a shard up.
delete from shard where server_id = ? and shard = ?

-- delete_server --
-- Remove a server.
delete from server where server_id = ?

-- get_servers --
-- The servers that are alive.
select server_id, machine, version, url, started_at, expires_at from server
where expires_at > ? order by server_id

-- put_worker --
-- Enter a worker, or note that it is still there.
insert into worker (worker_id, started_at, seen_at, body) values (?, ?, ?, ?)
on conflict (worker_id) do update set seen_at = excluded.seen_at, body = excluded.body

-- get_workers --
-- The workers seen since a time.
select started_at, seen_at, body from worker where seen_at >= ? order by worker_id

-- delete_worker --
-- Remove a worker.
delete from worker where worker_id = ?

-- put_schedule --
-- Store a schedule, in place of one of the same name.
insert or replace into schedule (name, paused, next_at, last_at, last_execution_id, body)
values (?, ?, ?, ?, ?, ?)

-- get_schedules --
-- Schedules of some owner or all, after a name.
select body, next_at, last_at, last_execution_id from schedule
where name > ? and (? = '' or json_extract(cast(body as text), '$.tenant') = ?)
  and (? = '' or json_extract(cast(body as text), '$.organization') = ?)
order by name limit ?

-- get_schedule --
-- A schedule by its name.
select body, next_at, last_at, last_execution_id from schedule where name = ?

-- get_due_schedules --
-- Schedules that are due, the longest due first.
select body, next_at, last_at, last_execution_id from schedule
where paused = 0 and next_at > 0 and next_at <= ? order by next_at, name limit ?

-- skip_tick --
-- A schedule that still waits for a time waits for the next one.
update schedule set next_at = ? where name = ? and next_at = ?

-- delete_schedule --
-- Delete a schedule.
delete from schedule where name = ?

-- get_key --
-- The execution that has a key at a time.
select execution_id from start_key where path = ? and key = ? and expires_at > ?

-- put_key --
-- An execution takes a key.
insert or replace into start_key (path, key, execution_id, expires_at) values (?, ?, ?, ?)

-- forget_keys --
-- Forget keys that have expired.
delete from start_key where expires_at < ?

-- put_trial --
-- Note that an owner tries to decide an execution.
insert or ignore into trial (execution_id, owner) values (?, ?)

-- end_trials --
-- Forget what an owner tried.
delete from trial where owner = ?

-- get_trials --
-- Executions that were being decided, with who decided them.
select execution_id, owner from trial order by execution_id, owner

-- forget_ended_trials --
-- Forget who tried executions that have ended or are gone.
delete from trial
where execution_id not in (select execution_id from execution where ended_at = 0)

-- forget_trial --
-- Forget who tried an execution, whoever it was.
delete from trial where execution_id = ?

-- put_token --
-- Store a token, in place of one of the same id.
insert or replace into token (token_id, body) values (?, ?)

-- get_token --
-- A token by its id.
select body from token where token_id = ?

-- get_tokens --
-- All tokens.
select body from token order by token_id

-- delete_token --
-- Delete a token.
delete from token where token_id = ?

-- put_note --
-- Note a change, or what came of it.
insert into change_audit (note_id, actor, action, subject, body, tenant, organization)
values (?, ?, ?, ?, ?, ?, ?)
on conflict (note_id) do update set subject = excluded.subject, body = excluded.body

-- get_notes --
-- Changes, newest first, from the one before an id.
select body from change_audit
where note_id < ? and (? = '' or actor = ?) and (? = '' or action = ?)
  and (? = '' or subject = ?) and (? = '' or tenant = ?) and (? = '' or organization = ?)
order by note_id desc limit ?

-- note_secret --
-- Append a row to the audit of secrets, with the labels of its execution if it has one.
insert into secret_audit (at, who, action, alias, execution_id, outcome, tenant, organization)
values (?, ?, ?, ?, ?, ?,
  coalesce((select tenant from execution where execution_id = ?), ?),
  coalesce((select organization from execution where execution_id = ?), ?))

-- get_secret_notes --
-- Rows of the audit of secrets, newest first, from the one before a number.
select note_id, at, who, action, alias, execution_id, outcome, tenant, organization
from secret_audit
where (? = 0 or note_id < ?) and (? = '' or alias = ?) and (? = 0 or execution_id = ?)
  and (? = '' or who = ?) and (? = '' or outcome = ?) and (? = '' or tenant = ?)
  and (? = '' or organization = ?)
order by note_id desc limit ?

-- replace_sealed --
-- Put a sealed record in place of another, if it is still that one.
update credential set sealed = ? where name = ? and sealed = ?
