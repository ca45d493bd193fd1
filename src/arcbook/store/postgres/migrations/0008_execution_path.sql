-- Executions by their path: a list of those whose path holds a text looks through the paths
-- that there are, which are few, and not through the executions.
create index execution_path on execution (path, execution_id);
