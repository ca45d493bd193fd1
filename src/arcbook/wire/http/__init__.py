"""Requests and answers of the HTTP API as structs, by resource."""
