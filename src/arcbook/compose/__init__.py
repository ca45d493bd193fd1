"""Composition roots: assemble the parts of a process from its settings."""
