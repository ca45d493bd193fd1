-- What a server needs beside: commands that are out, servers, workers, schedules.

create table command (
  command_id   text    primary key,
  execution_id integer not null,
  step         text    not null,
  pool         text    not null,
  generation   integer not null,
  attempt      integer not null,
  issued_at    integer not null,
  worker       text    not null
) without rowid;

create table server (
  server_id  text    primary key,
  machine    integer not null unique,
  version    text    not null,
  url        text    not null,
  started_at integer not null,
  expires_at integer not null
) without rowid;

-- A shard is its owner's for as long as that server's lease lasts.
create table shard (
  shard     integer primary key,
  server_id text    not null
);

create table worker (
  worker_id  text    primary key,
  started_at integer not null,
  seen_at    integer not null,
  body       blob    not null
) without rowid;

create table schedule (
  name              text    primary key,
  paused            integer not null,
  next_at           integer not null,
  last_at           integer not null,
  last_execution_id integer not null,
  body              blob    not null
) without rowid;

create index schedule_due on schedule (next_at, name) where paused = 0 and next_at > 0;
