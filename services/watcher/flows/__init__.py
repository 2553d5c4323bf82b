"""What Watcher does: follow the desired state on every server, and count who uses what."""
