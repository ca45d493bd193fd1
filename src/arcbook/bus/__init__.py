"""The bus: hints about commands, and requests between workers and servers."""
