"""Secrets: sealed at rest, opened in the worker, never shown."""
