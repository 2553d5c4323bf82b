"""Requests out, answers in; no I/O of their own."""
