-- Events by month: the tables made ahead, and the old ones dropped whole.

-- The lowest id that an execution started at a time can have.
create function first_id(at timestamptz) returns bigint language sql immutable as $$
  select ((extract(epoch from at) * 1000)::bigint - 1704067200000) << 22
$$;

-- Make the tables of the month of a time and of those after it; return how many were missing.
create function ensure_partitions(now timestamptz, ahead integer)
returns integer language plpgsql as $$
declare
  month timestamp;
  partition text;
  made integer := 0;
begin
  for month in
    select date_trunc('month', now at time zone 'UTC') + make_interval(months => n)
    from generate_series(0, ahead) as n
  loop
    partition := 'event_' || to_char(month, 'YYYYMM');
    continue when to_regclass(partition) is not null;
    begin
      -- Attaching a table that is ready locks less than making one in place.
      execute format('create table %I (like event including all)', partition);
      execute format(
        'alter table event attach partition %I for values from (%s) to (%s)', partition,
        first_id(month at time zone 'UTC'),
        first_id((month + interval '1 month') at time zone 'UTC'));
      made := made + 1;
    exception when check_violation then
      raise warning 'events of % are already in event_other, and stay there', partition;
    end;
  end loop;
  return made;
end
$$;

-- Forget the executions of some ids, without their events.
create function forget_between(p_from bigint, p_to bigint) returns bigint language plpgsql as $$
declare
  forgotten bigint;
begin
  delete from head where execution_id >= p_from and execution_id < p_to;
  delete from snapshot where execution_id >= p_from and execution_id < p_to;
  delete from timer where execution_id >= p_from and execution_id < p_to;
  delete from result where execution_id >= p_from and execution_id < p_to;
  delete from inbox where execution_id >= p_from and execution_id < p_to;
  delete from command where execution_id >= p_from and execution_id < p_to;
  delete from blob where owner <> 0 and owner >= p_from and owner < p_to;
  delete from execution where execution_id >= p_from and execution_id < p_to;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

-- Forget the months that ended before a time, and return how many executions went. A month in
-- which one still runs stays whole.
create function retention(before timestamptz) returns bigint language plpgsql as $$
declare
  partition text;
  month timestamp;
  lowest bigint;
  beyond bigint;
  forgotten bigint := 0;
begin
  for partition in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'event'::regclass and c.relname ~ '^event_\d{6}$' order by c.relname
  loop
    month := to_date(right(partition, 6), 'YYYYMM');
    lowest := first_id(month at time zone 'UTC');
    beyond := first_id((month + interval '1 month') at time zone 'UTC');
    continue when beyond > first_id(before);
    continue when exists (
      select from execution
      where ended_at = 0 and execution_id >= lowest and execution_id < beyond);
    execute format('drop table %I', partition);
    forgotten := forgotten + forget_between(lowest, beyond);
  end loop;
  return forgotten;
end
$$;
