"""Older and shorter spellings, rewritten to the one normal form.

This is the only package that knows them. It works on nodes, so every place survives.
A spelling with an obvious meaning is rewritten (with a warning where authors should
change it); one that the reference removed is an error that names its successor.
"""
