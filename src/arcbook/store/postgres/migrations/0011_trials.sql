-- Executions that a server is deciding after a takeover: rows that a server leaves behind say
-- what it was at when it died.

create table trial (
  execution_id bigint not null,
  owner text not null,
  since timestamptz not null default now(),
  primary key (execution_id, owner)
);
create index trial_owner on trial (owner);

create view trial_readable as
select t.*, x.tenant, x.organization
from trial t left join execution x using (execution_id);
