"""Results kept by reference: where, how summarised, how read back."""
