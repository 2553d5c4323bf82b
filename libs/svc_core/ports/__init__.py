"""Roles the core needs someone to play: Protocols only, with the errors each may raise."""
