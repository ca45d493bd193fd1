"""Running executions: the drive loop that owns them, the performer that does their work."""
