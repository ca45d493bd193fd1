-- Keys of requests, tokens of the API, the audit of changes, tenants.

create table start_key (
  path         text    not null,
  key          text    not null,
  execution_id integer not null,
  expires_at   integer not null,
  primary key (path, key)
) without rowid;

create index start_key_expiry on start_key (expires_at);

create table token (
  token_id text primary key,
  body     blob not null
) without rowid;

create table change_audit (
  note_id integer primary key,
  actor   text    not null,
  action  text    not null,
  subject text    not null,
  body    blob    not null
);

alter table execution add column tenant text not null default '';
alter table execution add column organization text not null default '';

create index execution_tenant on execution (tenant, execution_id) where tenant <> '';
