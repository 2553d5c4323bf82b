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
