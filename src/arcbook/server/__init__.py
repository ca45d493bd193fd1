"""The control-plane server: owns executions, answers workers and clients."""
