"""The pure engine: what follows from what happened."""
