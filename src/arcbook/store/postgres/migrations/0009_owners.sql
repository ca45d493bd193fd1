-- A commit is made by the server that owns the shards it writes to, or not at all: one that
-- stood still while others took them over may not write what they would not learn of.

-- Hold shards until the end of a commit. Raises AB001 if another server owns one of them.
create function own(p_owner text, p_shards smallint[]) returns boolean language plpgsql as $$
begin
  if p_owner <> '' then
    perform pg_advisory_xact_lock_shared(1094795585, s) from unnest(p_shards) as s;
    if exists (
      select from shard h where h.shard = any (p_shards) and h.server_id <> p_owner
    ) then
      raise exception 'another server owns a shard' using errcode = 'AB001';
    end if;
  end if;
  return true;
end
$$;

-- Extend a lease, and take shards that nobody alive owns, up to the server's share; not those
-- that a commit still holds, which come with another heartbeat.
-- No row is returned if the server is not known any more.
create or replace function server_beat(p_server text, p_lease_us bigint)
returns table (owned smallint[], alive bigint) language plpgsql as $$
declare
  now bigint;
  missing integer;
  free smallint;
begin
  perform lock_servers();
  now := now_us();
  delete from server s where s.expires_at <= now;
  update server s set expires_at = now + p_lease_us where s.server_id = p_server;
  if not found then
    return;
  end if;
  select count(*) into alive from server;
  select ceil(count(*)::numeric / alive) - count(*) filter (where h.server_id = p_server)
    into missing from shard h;
  if missing > 0 then
    for free in
      select h.shard from shard h
      where not exists (select from server s where s.server_id = h.server_id)
      order by h.shard limit missing
    loop
      if pg_try_advisory_xact_lock(1094795585, free) then
        update shard set server_id = p_server where shard = free;
      end if;
    end loop;
  end if;
  select coalesce(array_agg(h.shard order by h.shard), '{}') into owned
    from shard h where h.server_id = p_server;
  return next;
end
$$;
