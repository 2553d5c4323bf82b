"""What a message of a batch carries beside the batch's signature."""

from dataclasses import dataclass, field
from typing import Final

BATCH_LIMIT: Final = 64
"""Most messages under one signature."""
HASH_SIZE: Final = 32
BLIND_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class BatchProof:
    """The place of one message in the Merkle tree whose root was signed."""

    size: int
    """Messages in the batch, 2 to 64."""
    index: int
    """This message's place, 0 to ``size`` - 1."""
    blind: bytes = field(repr=False)
    """32 random bytes in this message's leaf: a sibling's path says nothing about the message."""
    path: bytes = field(repr=False)
    """Hashes of the siblings from the leaf up, 32 bytes each, joined."""
