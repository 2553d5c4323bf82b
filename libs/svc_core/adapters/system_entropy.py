"""This machine's entropy."""

import os


def system_entropy(size: int) -> bytes:
    """Return ``size`` unpredictable bytes from the kernel."""
    return os.urandom(size)
