-- Who got which secret; never anything of the secret itself.
create table secret_audit (
  note_id      bigint generated always as identity primary key,
  at           bigint not null,
  who          text   not null,
  action       text   not null,
  alias        text   not null,
  execution_id bigint not null,
  outcome      text   not null
);

create index secret_audit_alias on secret_audit (alias, note_id);
create index secret_audit_execution on secret_audit (execution_id, note_id)
  where execution_id <> 0;
