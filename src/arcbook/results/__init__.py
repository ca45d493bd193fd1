"""Results stored by reference: storage, summaries and loading."""
