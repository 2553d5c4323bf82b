"""The load order's file."""
