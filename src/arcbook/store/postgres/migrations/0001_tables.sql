-- The tables of the cluster store. They live in a schema of their own, `arcbook`, which is
-- the search path of every connection that runs this.
--
-- Keys of text compare byte by byte, as Python's do. What only Arcbook reads is JSON as bytes
-- (`body`): it needs no parsing on the way in, and may hold what `text` may not.

-- Events, by month of their execution: an id is a time, so old months go as whole tables.
create table event (
  execution_id bigint  not null,
  seq          integer not null check (seq > 0),
  at           bigint  not null,
  type         text    not null,
  step         text    not null,
  ends         boolean not null,  -- whether it ends its execution
  body         bytea   not null,
  primary key (execution_id, seq)
) partition by range (execution_id);

-- One end for each execution.
create unique index event_end on event (execution_id) where ends;

-- Takes what no month was made for. It should stay empty.
create table event_other partition of event default;

-- The number of the last event of each execution: whoever moves it on owns the next numbers.
-- It is narrow, in pages with room, because every commit writes it.
create table head (
  execution_id bigint  primary key,
  seq          integer not null
) with (fillfactor = 50);

-- For people: events with a time and a document instead of numbers and bytes.
create view event_readable as
select execution_id, seq, to_timestamp(at / 1e6) as at, type, step,
       convert_from(body, 'UTF8')::json as body
from event;

-- Rows are written again while their execution runs: room for that in each page.
create table execution (
  execution_id        bigint   primary key,
  shard               smallint not null,
  path                text     not null,
  status              text     not null,
  seq                 integer  not null,
  parent_execution_id bigint   not null,
  ended_at            bigint   not null,
  body                bytea    not null
) with (fillfactor = 80);

create index execution_unfinished on execution (shard, execution_id) where ended_at = 0;
create index execution_status on execution (status, execution_id);
create index execution_parent on execution (parent_execution_id, execution_id)
  where parent_execution_id <> 0;

create table snapshot (
  execution_id bigint  primary key,
  seq          integer not null,
  body         bytea   not null
);

create table timer (
  execution_id bigint not null,
  timer_id     text   collate "C" not null,
  due_at       bigint not null,
  primary key (execution_id, timer_id)
);

create table result (
  execution_id bigint not null,
  ref          text   collate "C" not null,
  step         text   not null,
  bytes        bigint not null,
  sha256       text   not null,
  store        text   not null,
  primary key (execution_id, ref)
);

-- Commands that are out: few rows at a time, and each one soon gone.
create table command (
  command_id   text     collate "C" primary key,
  execution_id bigint   not null,
  shard        smallint not null,
  step         text     not null,
  pool         text     not null,
  generation   integer  not null,
  attempt      integer  not null,
  issued_at    bigint   not null,
  worker       text     not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

create index command_shard on command (shard, command_id);

create table inbox (
  number       bigint generated always as identity primary key,
  execution_id bigint not null,
  body         bytea  not null
);

create index inbox_execution on inbox (execution_id, number);

create table catalog (
  catalog_id  bigint  primary key,
  path        text    collate "C" not null,
  version     integer not null,
  kind        text    not null,
  sha256      text    not null,
  folder      text    not null,
  created_at  bigint  not null,
  archived_at bigint  not null default 0,
  content     text    not null,
  unique (path, version)
);

create table credential (
  name        text   collate "C" primary key,
  type        text   not null,
  sealed      bytea  not null,
  description text   not null,
  tags        text[] not null,
  created_at  bigint not null,
  updated_at  bigint not null
);

create table server (
  server_id  text     collate "C" primary key,
  machine    smallint not null unique,
  version    text     not null,
  url        text     not null,
  started_at bigint   not null,
  expires_at bigint   not null
);

-- A shard is its owner's for as long as that server's lease lasts.
create table shard (
  shard     smallint primary key,
  server_id text     collate "C" not null default ''
);

insert into shard (shard) select n from generate_series(0, 63) as n;

create table worker (
  worker_id  text   collate "C" primary key,
  started_at bigint not null,
  seen_at    bigint not null,
  body       bytea  not null
);

create table schedule (
  name              text    collate "C" primary key,
  paused            boolean not null,
  next_at           bigint  not null,
  last_at           bigint  not null,
  last_execution_id bigint  not null,
  body              bytea   not null
);

create index schedule_due on schedule (next_at, name) where not paused and next_at > 0;

-- Blobs in pieces; `owner` is the execution that the key begins with, or 0.
create table blob (
  key    text    collate "C" not null,
  number integer not null,
  owner  bigint  not null,
  data   bytea   not null,
  primary key (key, number)
);

-- Results are compressed by who makes them, if at all.
alter table blob alter column data set storage external;

create index blob_owner on blob (owner) where owner <> 0;
