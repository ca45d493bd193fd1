"""Durable state: events, executions, catalog, credentials."""
