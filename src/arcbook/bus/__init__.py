"""The bus: there is work, and requests between workers and owners."""
