"""The messages between processes, and their formats."""
