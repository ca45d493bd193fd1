-- Whose documents and credentials are, and for whom secrets were asked.
alter table catalog
  add column tenant text not null default '',
  add column organization text not null default '';

-- The registration of 0002, with tenants. The same document again stays whose it was.
drop function register;
create function register(
  p_id bigint, p_path text, p_kind text, p_sha256 text, p_folder text, p_created_at bigint,
  p_content text, p_tenant text, p_organization text
) returns bigint language plpgsql as $$
declare
  latest catalog;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_path, 7));
  select * into latest from catalog
  where path = p_path and archived_at = 0 order by version desc limit 1;
  if latest.sha256 = p_sha256 and latest.folder = p_folder then
    return latest.catalog_id;
  end if;
  insert into catalog
    (catalog_id, path, version, kind, sha256, folder, created_at, archived_at, content, tenant,
     organization)
  values (
    p_id, p_path, (select coalesce(max(version), 0) + 1 from catalog where path = p_path),
    p_kind, p_sha256, p_folder, p_created_at, 0, p_content, p_tenant, p_organization);
  return p_id;
end
$$;

alter table credential
  add column tenant text not null default '',
  add column organization text not null default '';

alter table secret_audit
  add column tenant text not null default '',
  add column organization text not null default '';

alter table change_audit
  add column tenant text not null default '',
  add column organization text not null default '';

create index secret_audit_tenant on secret_audit (tenant, note_id) where tenant <> '';

-- What stands beneath an execution is its tenant's: one label, in one place.
drop view event_readable;
create view event_readable as
select e.execution_id, e.seq, to_timestamp(e.at / 1e6) as at, e.type, e.step, x.tenant,
       x.organization, convert_from(e.body, 'UTF8')::json as body
from event e left join execution x using (execution_id);
