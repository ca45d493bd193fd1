"""Secrets: encrypted at rest, decrypted in the worker, never shown."""
