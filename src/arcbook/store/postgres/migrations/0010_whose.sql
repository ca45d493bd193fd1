-- For people: every row of an execution, with the labels of its tenant. They stand once, at
-- the execution: a copy in each row could only be wrong. `event_readable` is of 0007.

create view command_readable as
select c.*, to_timestamp(c.issued_at / 1e6) as at, x.tenant, x.organization
from command c left join execution x using (execution_id);

create view result_readable as
select r.*, x.tenant, x.organization
from result r left join execution x using (execution_id);

create view timer_readable as
select t.*, to_timestamp(t.due_at / 1e6) as at, x.tenant, x.organization
from timer t left join execution x using (execution_id);

create view snapshot_readable as
select s.execution_id, s.seq, x.tenant, x.organization,
       convert_from(s.body, 'UTF8')::json as body
from snapshot s left join execution x using (execution_id);

create view inbox_readable as
select i.number, i.execution_id, x.tenant, x.organization,
       convert_from(i.body, 'UTF8')::json as body
from inbox i left join execution x using (execution_id);

create view start_key_readable as
select k.*, to_timestamp(k.started_at / 1e6) as at, x.tenant, x.organization
from start_key k left join execution x using (execution_id);
