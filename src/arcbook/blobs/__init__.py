"""Bytes kept outside the log, by key."""
