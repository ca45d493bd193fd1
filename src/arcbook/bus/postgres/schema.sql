-- The bus on PostgreSQL. All tables are unlogged: the bus carries hints and requests, and
-- what is true is in the store, so that nothing here needs to survive a crash of the server
-- and nothing pays for the write-ahead log.

create schema arcbook_bus;

create table arcbook_bus.version (version integer not null);

-- Messages to pools; one that is out is hidden until its time to be acknowledged is over.
create unlogged table arcbook_bus.message (
  id bigint generated always as identity primary key,
  pool text not null,
  execution_id bigint not null,
  message_id text not null,
  body bytea not null,
  deliveries integer not null default 0,
  visible_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0, fillfactor = 70);
create index message_next on arcbook_bus.message (pool, visible_at, id);
-- Ten is DELIVERIES_MAX of the port.
create index message_worn on arcbook_bus.message (pool, visible_at) where deliveries >= 10;

create unlogged table arcbook_bus.seen (
  message_id text primary key,
  at timestamptz not null
);
create index seen_at on arcbook_bus.seen (at);

create unlogged table arcbook_bus.dead (
  id bigint primary key,
  pool text not null,
  execution_id bigint not null,
  message_id text not null,
  body bytea not null,
  at timestamptz not null default clock_timestamp()
);

-- Who serves or listens to what. A row is void when its session is gone.
create unlogged table arcbook_bus.registered (
  connection text not null,
  kind text not null,
  subject text not null,
  pid integer not null,
  started timestamptz not null,
  primary key (connection, kind, subject)
);
create index registered_subject on arcbook_bus.registered (kind, subject);

-- Bodies that are too big for the payload of a notification.
create unlogged table arcbook_bus.letter (
  id bigint generated always as identity primary key,
  body bytea not null,
  at timestamptz not null default clock_timestamp()
);
create index letter_at on arcbook_bus.letter (at);

create function arcbook_bus.publish(
  pools text[], executions bigint[], ids text[], bodies bytea[], window_seconds float8
) returns void language plpgsql as $$
declare
  now_is timestamptz := clock_timestamp();
  oldest timestamptz := now_is - make_interval(secs => window_seconds);
begin
  delete from arcbook_bus.seen where message_id in (
    select s.message_id from arcbook_bus.seen s where s.at < oldest
    order by s.at limit 2 * cardinality(ids) + 100 for update skip locked
  );
  -- In the order of their names, so that two who publish the same never wait in a ring.
  with given as (
    select * from unnest(pools, executions, ids, bodies)
      with ordinality as g (pool, execution_id, message_id, body, place)
  ), fresh as (
    insert into arcbook_bus.seen as s (message_id, at)
    select distinct on (g.message_id) g.message_id, now_is from given g order by g.message_id
    on conflict (message_id) do update set at = excluded.at where s.at < oldest
    returning s.message_id
  )
  insert into arcbook_bus.message (pool, execution_id, message_id, body, visible_at)
  select g.pool, g.execution_id, g.message_id, g.body, now_is
  from (select distinct on (message_id) * from given order by message_id, place) g
  join fresh using (message_id) order by g.place;
  perform pg_notify('arcbook_bus', pool) from (select distinct unnest(pools) as pool) p;
end $$;

create function arcbook_bus.pull(pools text[], most integer, ack_seconds float8)
returns table (id bigint, body bytea, deliveries integer) language plpgsql as $$
#variable_conflict use_column
declare
  name text;
  found_here integer;
  due timestamptz;
begin
  foreach name in array pools loop
    exit when most <= 0;
    with worn as (
      delete from arcbook_bus.message m using (
        select w.id from arcbook_bus.message w
        where w.pool = name and w.deliveries >= 10 and w.visible_at <= clock_timestamp()
        for update skip locked
      ) w where m.id = w.id returning m.*
    )
    insert into arcbook_bus.dead (id, pool, execution_id, message_id, body)
    select w.id, w.pool, w.execution_id, w.message_id, w.body from worn w;
    due := clock_timestamp() + make_interval(secs => ack_seconds);
    return query
    with next as materialized (
      select n.id from arcbook_bus.message n
      where n.pool = name and n.visible_at <= clock_timestamp()
      order by n.visible_at, n.id limit most for update skip locked
    ), taken as (
      update arcbook_bus.message m
      set deliveries = m.deliveries + 1, visible_at = due
      from next where m.id = next.id
      returning m.id, m.body, m.deliveries
    )
    select t.id, t.body, t.deliveries from taken t order by t.id;
    get diagnostics found_here = row_count;
    most := most - found_here;
  end loop;
end $$;

create function arcbook_bus.next_due(pools text[]) returns float8 language plpgsql as $$
begin
  return (
    select extract(epoch from min(due) - clock_timestamp())::float8 from unnest(pools) p (pool),
      lateral (
        select m.visible_at as due from arcbook_bus.message m
        where m.pool = p.pool order by m.visible_at limit 1
      ) soonest
  );
end $$;

create function arcbook_bus.waiting(pools text[])
returns table (pool text, count bigint) language sql as $$
  select p.pool, (
    select count(*) from arcbook_bus.message m
    where m.pool = p.pool and m.visible_at <= clock_timestamp()
  ) from unnest(pools) p (pool)
$$;

create function arcbook_bus.acknowledge(ids bigint[]) returns void language plpgsql as $$
begin
  delete from arcbook_bus.message where id = any (ids);
end $$;

create function arcbook_bus.put_off(ids bigint[], seconds float8, wake boolean)
returns void language plpgsql as $$
begin
  update arcbook_bus.message
  set visible_at = clock_timestamp() + make_interval(secs => seconds)
  where id = any (ids);
  if wake then
    perform pg_notify('arcbook_bus', pool) from (
      select distinct m.pool from arcbook_bus.message m where m.id = any (ids)
    ) p;
  end if;
end $$;

-- Send something to a connection: in the notification if it fits there, else by a letter.
create function arcbook_bus.send(
  receiver text, kind text, subject text, sender text, number bigint, body bytea
) returns void language plpgsql as $$
declare
  head text := concat_ws(' ', kind, subject, sender, number);
  letter_id bigint;
begin
  if octet_length(body) <= 5000 then
    perform pg_notify(
      'arcbook_bus_' || receiver, head || ' = ' || translate(encode(body, 'base64'), E'\n', '')
    );
    return;
  end if;
  delete from arcbook_bus.letter where id in (
    select l.id from arcbook_bus.letter l where l.at < clock_timestamp() - interval '1 minute'
    limit 10 for update skip locked
  );
  insert into arcbook_bus.letter (body) values (body) returning id into letter_id;
  perform pg_notify('arcbook_bus_' || receiver, head || ' @ ' || letter_id);
end $$;

create function arcbook_bus.open_letter(letter_id bigint) returns bytea language plpgsql as $$
declare
  found_body bytea;
begin
  delete from arcbook_bus.letter where id = letter_id returning body into found_body;
  return found_body;
end $$;

create function arcbook_bus.lives(pid integer, started timestamptz)
returns boolean language plpgsql as $$
begin
  return exists (select from pg_stat_get_activity(pid) a where a.backend_start = started);
end $$;

create function arcbook_bus.register(connection_name text, new_kind text, new_subject text, backend integer)
returns void language plpgsql as $$
begin
  delete from arcbook_bus.registered where not arcbook_bus.lives(pid, started);
  insert into arcbook_bus.registered (connection, kind, subject, pid, started)
  select connection_name, new_kind, new_subject, backend, a.backend_start
  from pg_stat_get_activity(backend) a
  on conflict (connection, kind, subject) do update
  set pid = excluded.pid, started = excluded.started;
end $$;

create function arcbook_bus.unregister(connection_name text, old_kind text, old_subject text)
returns void language sql as $$
  delete from arcbook_bus.registered
  where connection = connection_name and kind = old_kind and subject = old_subject
$$;

-- Send many things at once. A question goes to one of those who serve its subject; the
-- answer tells of each thing whether there was anybody to send it to.
create function arcbook_bus.send_many(
  kinds text[], receivers text[], subjects text[], sender text, numbers bigint[], bodies bytea[]
) returns boolean[] language plpgsql as $$
declare
  receiver text;
  reached boolean[] := '{}';
begin
  for i in 1 .. cardinality(kinds) loop
    receiver := receivers[i];
    if kinds[i] = 'ask' then
      select r.connection into receiver from arcbook_bus.registered r
      where r.kind = 'serve' and r.subject = subjects[i] and arcbook_bus.lives(r.pid, r.started)
      order by random() limit 1;
    end if;
    reached := reached || (receiver is not null);
    if receiver is not null then
      perform arcbook_bus.send(receiver, kinds[i], subjects[i], sender, numbers[i], bodies[i]);
    end if;
  end loop;
  return reached;
end $$;

create function arcbook_bus.tell(told text, body bytea) returns void language plpgsql as $$
declare
  receiver text;
begin
  for receiver in
    select distinct r.connection from arcbook_bus.registered r
    where r.kind = 'listen' and arcbook_bus.lives(r.pid, r.started) and (
      r.subject = told
      or (right(r.subject, 2) = '.*' and starts_with(told, left(r.subject, -1)))
    )
  loop
    perform arcbook_bus.send(receiver, 'tell', told, '-', 0, body);
  end loop;
end $$;
