"""The ledger of keys: what bundles are issued for, which version that is, and who gets none.

One document with check-and-set beside the keys. It is written after the keys it speaks of, so
whoever reads a version here finds at least its keys in the store. It carries the term of the lease
under which it was written, so that whoever held an earlier one writes nothing any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.metadata.domain.bundle_recipients import keyed_services
from services.metadata.domain.key_generations import KeyGeneration
from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.identity import ServiceName, service_name
from svc_core.errors import MalformedMessageError

EPOCH_SHIFT: Final = 1_000_000
"""A bundle's version is its newest key epoch times this, plus the changes there ever were."""


@dataclass(frozen=True, slots=True)
class KeyLedger:
    """What all replicas of the authority agree on about keys; replaced as a whole."""

    newest: int = -1
    """The newest key epoch that was ever handed out; -1 before the first."""
    changes: int = 0
    """How often bundles changed within an epoch, ever."""
    mark: str = ""
    """What bundles were last issued for: the rights, the ordered rolls, who is revoked."""
    rolls: int = 0
    """Number of the last ordered roll of every topic key."""
    last_order: str = ""
    """Id of the command that ordered it."""
    revoked: frozenset[ServiceName] = frozenset()
    """Services that get no bundle, no user and no key until it is lifted."""
    refused: frozenset[str] = frozenset()
    """``<service>/<instance>`` of the identities that stay refused, lifted or not."""
    term: int = 0
    """Of the lease under which this was last written; it never goes back."""
    issued_in: int = 0
    """The term in which bundles were last issued."""

    @property
    def version(self) -> int:
        """Version of every bundle issued now; it never goes back, since neither part does."""
        return max(self.newest, 0) * EPOCH_SHIFT + self.changes

    def issued(self, newest: int, mark: str) -> "KeyLedger":
        """Note that the keys for ``mark``, up to epoch ``newest``, are stored.

        What is issued in a new term is another version than all that was before; so nothing that
        the former holder may still hand out passes for it.
        """
        is_news = (mark, self.term) != (self.mark, self.issued_in)
        return replace(
            self,
            newest=max(self.newest, newest),
            changes=self.changes + is_news,
            mark=mark,
            issued_in=self.term,
        )

    def claimed(self, term: int) -> "KeyLedger":
        """Begin ``term``: whoever holds an earlier one writes nothing from now on."""
        return replace(self, term=term)

    def rolled(self, order: str) -> "KeyLedger":
        """Ask for another key of every topic; the same order counts once."""
        if order == self.last_order:
            return self
        return replace(self, rolls=self.rolls + 1, last_order=order)

    def without(self, service: ServiceName, instances: Iterable[str]) -> "KeyLedger":
        """Revoke ``service`` and refuse its ``instances`` for good."""
        names = {f"{service}/{instance}" for instance in instances}
        return replace(self, revoked=self.revoked | {service}, refused=self.refused | names)

    def lifted(self, service: ServiceName) -> "KeyLedger":
        """Lift the revocation of ``service``; its former identities stay refused."""
        return replace(self, revoked=self.revoked - {service})


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """What bundles are made from at one version; nothing in it is of another."""

    ledger: KeyLedger
    acl: Acl
    """The rights the keys were made for."""
    generations: tuple[KeyGeneration, ...]
    """Oldest first; not empty."""

    @property
    def version(self) -> int:
        """Of every bundle made from it."""
        return self.ledger.version


def mark_of(digest: str, ledger: KeyLedger) -> str:
    """Return what bundles are issued for.

    Args:
        digest: of the rights and of who is revoked, by `acl_digest`.
        ledger: says which ordered roll is in the keys.
    """
    return f"{digest}-{ledger.rolls}"


def affected(before: KeySnapshot | None, after: KeySnapshot) -> tuple[ServiceName, ...]:
    """Return the services whose bundle is another one than ``before``, sorted.

    Everyone with keys, when it is not known what they have.
    """
    if before is not None and before.version == after.version:
        return ()
    if before is not None and _is_known_change(before.ledger, after.ledger):
        diff = diff_acls(before.acl, after.acl)
        if not diff.is_empty:
            return diff.bundles
    return keyed_services(after.acl)


def _is_known_change(before: KeyLedger, after: KeyLedger) -> bool:
    is_one = after.changes == before.changes + 1
    return is_one and (before.newest, before.rolls) == (after.newest, after.rolls)


def encode(ledger: KeyLedger) -> dict[str, object]:
    """Return the ledger as a JSON-shaped document; there is no secret in it."""
    return {
        "newest": ledger.newest,
        "changes": ledger.changes,
        "mark": ledger.mark,
        "rolls": ledger.rolls,
        "last_order": ledger.last_order,
        "revoked": sorted(ledger.revoked),
        "refused": sorted(ledger.refused),
        "term": ledger.term,
        "issued_in": ledger.issued_in,
    }


def decode(document: Mapping[str, Any]) -> KeyLedger:
    """Return the ledger in ``document``, or raise `MalformedMessageError`."""
    try:
        return KeyLedger(
            newest=int(document["newest"]),
            changes=int(document["changes"]),
            mark=str(document["mark"]),
            rolls=int(document["rolls"]),
            last_order=str(document["last_order"]),
            revoked=frozenset(service_name(s) for s in document["revoked"]),
            refused=frozenset(str(name) for name in document["refused"]),
            term=int(document.get("term", 0)),
            issued_in=int(document.get("issued_in", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise MalformedMessageError(f"the ledger of keys cannot be read: {err}") from err
