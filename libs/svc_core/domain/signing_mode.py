"""How the messages of a data topic are signed."""

from enum import StrEnum


class SigningMode(StrEnum):
    """One signature for each message, or one for those that queued while the last was made."""

    SINGLE = "single"
    BATCHED = "batched"
    """What the others wait for is signed together; a message that comes alone is signed alone."""
