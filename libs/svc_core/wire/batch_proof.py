"""The bytes of a batch proof: uint8 size, uint8 index, 32 bytes blind, then the path's hashes."""

from typing import Final

from svc_core.domain.batch_proof import BATCH_LIMIT, BLIND_SIZE, HASH_SIZE, BatchProof
from svc_core.errors import MalformedMessageError

_HEAD_SIZE: Final = 2 + BLIND_SIZE
_LONGEST_PATH: Final = (BATCH_LIMIT - 1).bit_length()
_SMALLEST_BATCH: Final = 2
_LARGEST: Final = _HEAD_SIZE + _LONGEST_PATH * HASH_SIZE


def encode(proof: BatchProof) -> bytes:
    """Return the 66 to 226 bytes of ``proof``.

    Raises:
        ValueError: size or index do not fit a byte.
    """
    return bytes((proof.size, proof.index)) + proof.blind + proof.path


def decode(raw: bytes) -> BatchProof:
    """Return the proof in ``raw``; whether it proves anything is not checked.

    Raises:
        MalformedMessageError: no proof of a batch of 2 to 64 messages.
    """
    if not _HEAD_SIZE < len(raw) <= _LARGEST or (len(raw) - _HEAD_SIZE) % HASH_SIZE:
        raise MalformedMessageError(f"a batch proof cannot have {len(raw)} bytes")
    size, index = raw[0], raw[1]
    if not (_SMALLEST_BATCH <= size <= BATCH_LIMIT and index < size):
        raise MalformedMessageError(f"a batch proof for message {index} of {size}")
    return BatchProof(size, index, raw[2:_HEAD_SIZE], raw[_HEAD_SIZE:])
