"""Faults of real processes while executions run."""
