"""A few answers every implementation must give, pinned in ``known_answers.json``.

Seeds are made up; keys, deterministic signatures and encapsulations were computed by libraries
that are no providers here, two of them for the signatures, which agreed byte for byte.
"""

import json
from base64 import b64decode
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.domain.secrets import SecretBytes

_PACKAGE: Final = "svc_core.crypto"


@dataclass(frozen=True, slots=True)
class Signed:
    """A deterministic signature in pure mode."""

    message: bytes
    context: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SigningAnswer:
    """A key pair and what it signed: a short context, then the longest one."""

    algorithm: Algorithm
    seed: SecretBytes
    public: bytes
    signed: tuple[Signed, ...]


@dataclass(frozen=True, slots=True)
class KemAnswer:
    """A key pair and one encapsulation for it."""

    algorithm: KemAlgorithm
    seed: SecretBytes
    public: bytes
    ciphertext: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """All of them."""

    signing: tuple[SigningAnswer, ...]
    kem: tuple[KemAnswer, ...]


def read_known_answers() -> KnownAnswers:
    """Read the package's own file."""
    text = files(_PACKAGE).joinpath("known_answers.json").read_text(encoding="ascii")
    read: dict[str, Any] = json.loads(text)
    return KnownAnswers(
        tuple(_signing(entry) for entry in read["signatures"]),
        tuple(_kem(entry) for entry in read["encapsulations"]),
    )


def _signing(entry: dict[str, Any]) -> SigningAnswer:
    return SigningAnswer(
        Algorithm(entry["algorithm"]),
        SecretBytes(bytes.fromhex(entry["seed"])),
        b64decode(entry["public"]),
        tuple(
            Signed(
                bytes.fromhex(signed["message"]),
                bytes.fromhex(signed["context"]),
                b64decode(signed["signature"]),
            )
            for signed in entry["signed"]
        ),
    )


def _kem(entry: dict[str, Any]) -> KemAnswer:
    return KemAnswer(
        KemAlgorithm(entry["algorithm"]),
        SecretBytes(bytes.fromhex(entry["seed"])),
        b64decode(entry["public"]),
        b64decode(entry["ciphertext"]),
        bytes.fromhex(entry["secret"]),
    )
