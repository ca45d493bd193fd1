"""Generate the source of a Python function from a template's syntax tree.

The source contains no character of the template: names are numbered, constants are globals,
and only functions of this package are called. See ``docs/decisions/0009-templates.md``.
"""
