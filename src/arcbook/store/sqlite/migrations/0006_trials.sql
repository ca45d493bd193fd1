-- Executions that a process is deciding after a takeover: rows that a process leaves behind say
-- what it was at when it died.

create table trial (
  execution_id integer not null,
  owner text not null,
  primary key (execution_id, owner)
) without rowid;

create index trial_owner on trial (owner);
