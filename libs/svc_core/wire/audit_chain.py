"""Verifying a whole audit log: the first entry that is not as it was written, and why.

What is trusted is given from outside: the head that the signed desired state carries, and who may
sign checkpoints. Nothing in the log vouches for itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from svc_core.domain.audit import AuditEntry, AuditHead
from svc_core.errors import MalformedMessageError, RejectedError
from svc_core.wire import audit

Stored = Mapping[int, Mapping[str, object]]
"""What the secret store holds, by the number it is stored under."""
CheckSignature = Callable[[str, bytes, bytes], None]
"""Takes signer, signature and what is signed; raises `RejectedError` unless it holds."""


class FaultKind(StrEnum):
    """What is wrong with an entry."""

    MISSING = "missing"
    CHANGED = "changed"
    REORDERED = "reordered"
    SIGNATURE = "signature wrong"
    HEAD = "head mismatch"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first entry of a log that is not as it was written."""

    number: int
    kind: FaultKind
    reason: str


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it is stored, taken apart."""

    entry: AuditEntry
    body: bytes
    previous: bytes
    digest: bytes


def read_link(data: Mapping[str, object]) -> Link:
    """Return the link in ``data``, or raise `MalformedMessageError`; nothing is checked."""
    body, previous, digest = audit.decode_stored(data)
    return Link(audit.decode(body), body, previous, digest)


def signed_input(link: Link) -> bytes:
    """Return what the signature of a checkpoint should cover at the place where it is."""
    checkpoint = link.entry.checkpoint
    if checkpoint is None:
        raise ValueError("not a checkpoint")
    return audit.checkpoint_input(
        link.entry.number,
        link.entry.at,
        previous=link.previous,
        first=checkpoint.first,
        before=checkpoint.before,
    )


def first_fault(stored: Stored, head: AuditHead, check: CheckSignature) -> Fault | None:
    """Return the first entry that is not as it was written; None when all are.

    Args:
        stored: every entry there is.
        head: from the newest desired state; number 0 when it has none.
        check: verifies a checkpoint's signature.
    """
    begin = _begin(stored, check)
    if 0 < head.number < begin.number:
        return Fault(head.number, FaultKind.HEAD, "more was cut off than ever took effect")
    before = begin
    for number in range(begin.number + 1, max(*stored, head.number, begin.number) + 1):
        fault = _fault(number, before, stored, check)
        if fault is not None:
            return fault
        before = AuditHead(number, read_link(stored[number]).digest)
        if number == head.number and before.digest != head.digest:
            reason = "the desired state names another entry with this number"
            return Fault(number, FaultKind.HEAD, reason)
    return None


def links(stored: Stored) -> Iterator[Link]:
    """Yield what can be read at all, in order."""
    for number in sorted(stored):
        try:
            yield read_link(stored[number])
        except MalformedMessageError:
            continue


def _begin(stored: Stored, check: CheckSignature) -> AuditHead:
    """Return the entry before the first that must be there, as the last good checkpoint says."""
    begin = AuditHead()
    for link in links(stored):
        checkpoint = link.entry.checkpoint
        if checkpoint is None or checkpoint.first - 1 <= begin.number:
            continue
        try:
            check(checkpoint.signer, checkpoint.signature, signed_input(link))
        except RejectedError:
            continue
        begin = AuditHead(checkpoint.first - 1, checkpoint.before)
    return begin


def _fault(number: int, before: AuditHead, stored: Stored, check: CheckSignature) -> Fault | None:
    if number not in stored:
        return Fault(number, FaultKind.MISSING, "there is no such entry")
    try:
        link = read_link(stored[number])
    except MalformedMessageError as err:
        return Fault(number, FaultKind.CHANGED, str(err))
    if link.entry.number != number:
        return Fault(number, FaultKind.REORDERED, f"entry {link.entry.number} is in its place")
    if audit.digest_of(link.body, link.previous) != link.digest:
        return Fault(number, FaultKind.CHANGED, "its digest is another")
    if link.previous != before.digest:
        return _broken_link(link, before, stored)
    return _signature_fault(link, check)


def _broken_link(link: Link, before: AuditHead, stored: Stored) -> Fault:
    """Name the one of two neighbours that does not fit: the next one vouches for the second."""
    number = link.entry.number
    try:
        is_vouched = read_link(stored[number + 1]).previous == link.digest
    except (KeyError, MalformedMessageError):
        is_vouched = False
    if is_vouched and before.number in stored:
        reason = f"entry {number} was written after another one"
        return Fault(before.number, FaultKind.CHANGED, reason)
    return Fault(number, FaultKind.CHANGED, "it does not follow the entry before it")


def _signature_fault(link: Link, check: CheckSignature) -> Fault | None:
    checkpoint = link.entry.checkpoint
    if checkpoint is None:
        return None
    try:
        check(checkpoint.signer, checkpoint.signature, signed_input(link))
    except RejectedError as err:
        return Fault(link.entry.number, FaultKind.SIGNATURE, str(err))
    return None
