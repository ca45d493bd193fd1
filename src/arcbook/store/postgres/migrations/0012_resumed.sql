-- Steps that went on after a wait: whether a callback has come already is asked by its step.
create index event_resumed on event (execution_id, step, seq) where type = 'command.resumed';
