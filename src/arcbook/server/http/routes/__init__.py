"""The handlers of the API, by resource. Each module has its part of the route table."""
