"""The playbook language: loading, upgrading, checking, describing."""
