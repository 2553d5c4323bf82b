"""Opens and verifies what is on the wire without any code that ships.

Only the standard library's HMAC, ``cryptography``'s AES-GCM and ML-KEM called directly, and
``pqcrypto`` for ML-DSA, an implementation that has nothing in common with the one that signs.

Source: docs/wire-format.md; RFC 5869 for HKDF.
"""

import hashlib
import hmac
import struct
from importlib import import_module
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SETS = {1952: "pqcrypto.sign.ml_dsa_65", 2592: "pqcrypto.sign.ml_dsa_87"}


def verify(public: bytes, covered: bytes, signature: bytes, *, context: bytes) -> None:
    """Return if ``signature`` holds, raise `ValueError` if not; the key's size says its set."""
    parameter_set: Any = import_module(SETS[len(public)])
    parameter_set.verify(public, covered, signature, context=context)


def canonical(*values: str | bytes | int | None) -> bytes:
    """Return kind, length and bytes of each of ``values``."""
    out = bytearray()
    for value in values:
        if value is None:
            kind, body = b"n", b""
        elif isinstance(value, bytes):
            kind, body = b"b", value
        elif isinstance(value, str):
            kind, body = b"s", value.encode("utf-8")
        else:
            kind, body = b"i", value.to_bytes(8, "big", signed=True)
        out += kind + len(body).to_bytes(4, "big") + body
    return bytes(out)


def message_header(fields: dict[str, Any]) -> bytes:
    """Return what the encryption of a signed message is bound to."""
    bare = {"signature", "payload", "batchProof"}
    return canonical(*(value for name, value in fields.items() if name not in bare))


def batch_claim(fields: dict[str, Any]) -> bytes:
    """Return what the signature of a batch covers, from one message's fields and its proof."""
    proof = fields["batchProof"]
    size, index, blind, path = proof[0], proof[1], proof[2:34], proof[34:]
    hashes = [path[at : at + 32] for at in range(0, len(path), 32)]
    header = message_header(fields)
    leaf = hashlib.sha256(
        b"\0" + blind + struct.pack(">I", len(header)) + header + fields["payload"]
    ).digest()
    root = merkle_root(leaf, index, size, hashes)
    who = fields["signerServiceId"], fields["signerKeyId"], fields["algorithm"]
    return canonical(*who, size, root)


def merkle_root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root as RFC 9162, section 2.1.1, defines it: from the top down."""
    if size == 1:
        assert not path
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    *below, sibling = path
    if index < split:
        pair = merkle_root(leaf, index, split, below) + sibling
    else:
        pair = sibling + merkle_root(leaf, index - split, size - split, below)
    return hashlib.sha256(b"\1" + pair).digest()


def labelled(*parts: str) -> bytes:
    """Return the info of a derivation: each part behind its length."""
    return b"".join(struct.pack(">I", len(part)) + part.encode() for part in parts)


def unseal(secret: bytes, framed: bytes, *, info: bytes, header: bytes) -> bytes:
    """Return the plaintext of a framed encryption."""
    salt, iv, tag = framed[4:36], framed[40:52], framed[56:72]
    assert framed[:4] + framed[36:40] + framed[52:56] == struct.pack(">iii", 32, 12, 16)
    pseudorandom = hmac.digest(salt, secret, hashlib.sha256)
    key = hmac.digest(pseudorandom, info + b"\1", hashlib.sha256)
    return AESGCM(key).decrypt(iv, framed[72:] + tag, header)


def decapsulate(seed: bytes, encapsulation: bytes) -> bytes:
    """Return the secret inside an ML-KEM-1024 ciphertext."""
    return MLKEM1024PrivateKey.from_seed_bytes(seed).decapsulate(encapsulation)
