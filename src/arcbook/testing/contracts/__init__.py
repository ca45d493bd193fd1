"""Contract suites for implementations of ports: subclass one and provide its fixture."""
