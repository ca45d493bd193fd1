"""The same verbs against a server: ``--server URL``."""
