"""What processes log: the words for it, and how it is written."""
