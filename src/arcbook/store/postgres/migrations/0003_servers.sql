-- Servers and the shards they own, by the clock of the database: servers' own may differ.

create function now_us() returns bigint language sql volatile as $$
  select (extract(epoch from clock_timestamp()) * 1000000)::bigint
$$;

-- Held while servers and shards change, so that each sees what the one before it did.
create function lock_servers() returns void language sql volatile as $$
  select pg_advisory_xact_lock(4702111234474983745)
$$;

-- Enter a server, with the lowest machine number that no live one has.
create function server_join(
  p_server text, p_version text, p_url text, p_lease_us bigint, p_machine_max integer
) returns setof server language plpgsql as $$
declare
  now bigint;
  free smallint;
begin
  perform lock_servers();
  now := now_us();
  delete from server where expires_at <= now or server_id = p_server;
  select n into free from generate_series(0, p_machine_max) as n
  where not exists (select from server where machine = n) order by n limit 1;
  return query
    insert into server (server_id, machine, version, url, started_at, expires_at)
    values (p_server, free, p_version, p_url, now, now + p_lease_us)
    returning *;
end
$$;

-- Extend a lease, and take shards that nobody alive owns, up to the server's share.
-- No row is returned if the server is not known any more.
create function server_beat(p_server text, p_lease_us bigint)
returns table (owned smallint[], alive bigint) language plpgsql as $$
declare
  now bigint;
  missing integer;
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
    update shard set server_id = p_server where shard in (
      select h.shard from shard h
      where not exists (select from server s where s.server_id = h.server_id)
      order by h.shard limit missing);
  end if;
  select coalesce(array_agg(h.shard order by h.shard), '{}') into owned
    from shard h where h.server_id = p_server;
  return next;
end
$$;

create function server_release(p_server text, p_shards smallint[])
returns void language plpgsql as $$
begin
  perform lock_servers();
  update shard set server_id = '' where server_id = p_server and shard = any (p_shards);
end
$$;

create function server_leave(p_server text) returns void language plpgsql as $$
begin
  perform lock_servers();
  update shard set server_id = '' where server_id = p_server;
  delete from server where server_id = p_server;
end
$$;
