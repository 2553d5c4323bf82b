"""Watcher's hands: directories or Secrets, the system account, signals, canaries."""
