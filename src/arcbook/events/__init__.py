"""What happened in an execution: event types and their encoding."""
