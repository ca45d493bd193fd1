"""Input that nobody meant, for everything that reads some."""
