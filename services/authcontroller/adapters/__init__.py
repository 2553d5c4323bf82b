"""The secret that responses are derived from."""
