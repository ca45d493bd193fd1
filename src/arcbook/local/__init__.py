"""Servers of a cluster on this machine: finding them, starting them, watching over them."""
