"""The tools: what a task's ``kind`` names. One module a kind, and the registry."""
