"""Merkle trees over up to 64 messages, shaped and proven as in RFC 9162, sections 2.1.1 to 2.1.3.

Leaves and inner nodes are hashed with different first bytes, so neither can be taken for the
other. A path proves a leaf only for one index and one tree size; both belong to what is signed.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from svc_core.errors import VerificationError

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_HASH_SIZE: Final = sha256().digest_size
_LENGTH: Final = struct.Struct(">I")


def leaf_hash(blind: bytes, header: bytes, payload: bytes) -> bytes:
    """Return SHA-256(0x00 || blind || uint32 length of header || header || payload).

    Args:
        blind: 32 random bytes.
        header: the canonical encoding of every header field.
        payload: the framed ciphertext.
    """
    return sha256(_LEAF + blind + _LENGTH.pack(len(header)) + header + payload).digest()


def tree(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the root over ``leaves`` and each leaf's path: siblings from the leaf up, joined.

    Raises:
        ValueError: there are no leaves.
    """
    if not leaves:
        raise ValueError("a tree needs a leaf")
    levels = [list(leaves)]
    while len(below := levels[-1]) > 1:
        # A node without a sibling moves up as it is: the tree of RFC 9162 for any size.
        levels.append([
            sha256(_NODE + below[i] + below[i + 1]).digest() if i + 1 < len(below) else below[i]
            for i in range(0, len(below), 2)
        ])  # fmt: skip
    return levels[-1][0], [_path(levels, index) for index in range(len(leaves))]


def _path(levels: Sequence[Sequence[bytes]], index: int) -> bytes:
    siblings = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        index >>= 1
    return b"".join(siblings)


def root_of(leaf: bytes, *, index: int, size: int, path: bytes) -> bytes:
    """Return the root of the tree of ``size`` leaves that has ``leaf`` at ``index``.

    Whether it is the signed one, the signature says.

    Raises:
        VerificationError: no tree of ``size`` leaves has such a path for ``index``.
    """
    if not 0 <= index < size or len(path) % _HASH_SIZE:
        raise VerificationError
    node, last, root = index, size - 1, leaf
    for at in range(0, len(path), _HASH_SIZE):
        if last == 0:
            raise VerificationError
        sibling = path[at : at + _HASH_SIZE]
        if node & 1 or node == last:
            root = sha256(_NODE + sibling + root).digest()
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            root = sha256(_NODE + root + sibling).digest()
        node >>= 1
        last >>= 1
    if last:
        raise VerificationError
    return root
