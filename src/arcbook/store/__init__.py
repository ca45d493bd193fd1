"""What must survive: events, executions, catalog, credentials."""
