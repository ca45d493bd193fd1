-- Executions by status: they are counted in this index, without reading their rows.
create index execution_status on execution (status);
