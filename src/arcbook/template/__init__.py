"""Sandboxed templates with native values."""
