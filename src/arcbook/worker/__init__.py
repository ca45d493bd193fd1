"""The worker: pulls commands of its pools, performs them, reports."""
