"""Composition roots: parts put together from settings."""
