"""Runs a folder of NoETL documents, and compares what happens with what is expected."""
