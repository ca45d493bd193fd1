"""The process in which Python code of playbooks runs. It imports the standard library only.

Started once as a *zygote*: it imports what code commonly needs and then forks a child
for each request of its parent, so a fresh process costs a fork and no start of an
interpreter. A child serves calls of one execution and of no other. Code that by its looks
leaves nothing behind (:mod:`purity`) lets its child serve the next call; that keeps calls
quick and fresh for each other, and no wall stands on it.

Wire: on the control socket the parent sends one byte for each child it wants and gets
back the child's pid with two descriptors: its socket, and the file that takes what it
prints. On a child's socket both sides send a length (4 bytes) and JSON.
"""
