"""Arcbook runs NoETL playbooks, durably, on one machine or as a cluster."""
