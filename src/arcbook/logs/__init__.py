"""Logging: the events and their output."""
