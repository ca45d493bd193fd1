-- The tables of the embedded store. `pragma user_version` holds the number of the last file.

-- Rows lie in the order of their commits: a commit of a hundred executions then writes
-- a few pages at the end of the table, where one clustered by its key writes a hundred.
create table event (
  execution_id integer not null,
  seq          integer not null check (seq > 0),
  at           integer not null,
  type         text    not null,
  step         text    not null,
  body         blob    not null,
  ends         integer not null,  -- 1 for the event that ends its execution, else 0
  primary key (execution_id, seq)
);

-- One end for each execution. A comparison of types here would cost as much as the insert.
create unique index event_end on event (execution_id) where ends = 1;

create table execution (
  execution_id        integer primary key,
  path                text    not null,
  status              text    not null,
  seq                 integer not null,
  parent_execution_id integer not null,
  ended_at            integer not null,
  body                blob    not null
);

create index execution_unfinished on execution (execution_id) where ended_at = 0;
create index execution_parent on execution (parent_execution_id, execution_id)
  where parent_execution_id <> 0;

create table snapshot (
  execution_id integer primary key,
  seq          integer not null,
  body         blob    not null
);

create table timer (
  execution_id integer not null,
  timer_id     text    not null,
  due_at       integer not null,
  primary key (execution_id, timer_id)
) without rowid;

create index timer_due on timer (due_at);

create table result (
  execution_id integer not null,
  ref          text    not null,
  step         text    not null,
  bytes        integer not null,
  sha256       text    not null,
  store        text    not null,
  primary key (execution_id, ref)
) without rowid;

create table inbox (
  number       integer primary key autoincrement,
  execution_id integer not null,
  body         blob    not null
);

create table catalog (
  catalog_id  integer primary key,
  path        text    not null,
  version     integer not null,
  kind        text    not null,
  sha256      text    not null,
  folder      text    not null,
  created_at  integer not null,
  archived_at integer not null default 0,
  content     text    not null,
  unique (path, version)
);

create table credential (
  name        text primary key,
  type        text    not null,
  sealed      blob    not null,
  description text    not null,
  tags        text    not null,
  created_at  integer not null,
  updated_at  integer not null
) without rowid;
