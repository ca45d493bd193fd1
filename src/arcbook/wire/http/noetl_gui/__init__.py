"""Requests and answers of NoETL's GUI."""
