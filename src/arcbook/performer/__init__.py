"""The side that does the work of commands."""
