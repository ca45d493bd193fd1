"""The verbs on a server: ``--server URL``."""
