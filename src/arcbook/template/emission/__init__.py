"""From a template's syntax tree to the source of a Python function.

No character of a template is in that source: names are numbered, constants are globals,
and what is called is a function of this package. See ``docs/decisions/templates.md``.
"""
