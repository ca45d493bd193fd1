"""Bytes stored outside the event log, by key."""
