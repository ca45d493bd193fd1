"""An HTTP server that stands in for every host that the corpus talks to.

One process serves the paginated test API at its root, and each public host below
``/host/<name>``. What it serves is made by pure functions, so that totals can be proved
without a server. Delays and rate limits have factors, so that a page that takes seconds
in the original takes milliseconds in a test.
"""
