"""Requests in, responses out; no I/O of their own."""
