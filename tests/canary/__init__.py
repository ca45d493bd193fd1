"""A secret that is used in every way, and then looked for everywhere."""
