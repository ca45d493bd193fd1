"""The production runtime under faults, and in small worlds gone through whole."""
