"""The audit log as values: entries in a chain of digests, and checkpoints that sign the chain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

DIGEST_SIZE: Final = 32
AUDIT_PATH: Final = "transport/audit"
"""Folder of the entries in the secret store; each is named by its number."""
CHECKPOINT: Final = "audit.checkpoint"
"""Kind of the entries that sign what is before them."""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last entry of a chain, or of a part of it."""

    number: int = 0
    """Entries count from 1; 0 before the first."""
    digest: bytes = bytes(DIGEST_SIZE)
    """SHA-256, 32 bytes; zeros before the first entry."""


NO_ENTRY: Final = AuditHead()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The authority's signature over the chain up to the entry before, and where it begins."""

    first: int
    """Number of the first entry that is kept; all before it may be gone."""
    before: bytes
    """Digest of the entry before ``first``, 32 bytes."""
    signer: str
    signature: bytes = field(repr=False)
    """ML-DSA-87."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done, or was about to be; nothing in it is secret."""

    number: int
    at: datetime
    by: str
    """Instance of the authority."""
    kind: str
    subject: str
    """What it was done to: an issuer, a key epoch, a service, a command."""
    facts: Mapping[str, str] = field(default_factory=dict)
    follows: int | None = None
    """For a step of the journal: number of the step before it that took effect, 0 for none.

    A step whose number no later step follows, and which the journal does not name, was written
    down and then not taken. None for what is no step of the journal.
    """
    checkpoint: Checkpoint | None = None
