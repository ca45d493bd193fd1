"""The HTTP API of the control plane: routes, their wire forms, and who may call them."""
