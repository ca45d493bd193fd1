-- Whose documents and credentials are, and for whom secrets were asked.

alter table catalog add column tenant text not null default '';
alter table catalog add column organization text not null default '';
alter table credential add column tenant text not null default '';
alter table credential add column organization text not null default '';
alter table secret_audit add column tenant text not null default '';
alter table secret_audit add column organization text not null default '';
alter table change_audit add column tenant text not null default '';
alter table change_audit add column organization text not null default '';

create index secret_audit_tenant on secret_audit (tenant, note_id) where tenant <> '';
