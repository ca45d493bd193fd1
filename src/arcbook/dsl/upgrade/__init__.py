"""Rewrite older and shorter spellings to the normal form.

No other package knows them. It works on nodes, so positions are preserved. A spelling with an
obvious meaning is rewritten, with a warning if authors should change it; one that the
reference removed is an error that names its replacement.
"""
