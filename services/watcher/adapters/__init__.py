"""Watcher's hands: directories, the system account, signals, canaries."""
