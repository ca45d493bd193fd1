"""Many short executions of ten kinds, which must leave nothing behind but their history."""
