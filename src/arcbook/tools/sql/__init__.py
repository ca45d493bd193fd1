"""What the SQL tools share: reading SQL text, values as JSON, and results."""
