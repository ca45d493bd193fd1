"""Nodes in normal form to the typed model, noting every problem on the way.

Parsing never stops at the first problem. Where a part is unusable, a harmless stand-in
takes its place, so that the rest of the document is still checked.
"""
