"""Test kit for tools, stores and playbooks. Production code never imports it."""
