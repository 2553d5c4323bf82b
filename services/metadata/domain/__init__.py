"""Decisions of the authority: pure data and functions."""
