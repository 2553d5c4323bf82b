"""Whatever is done to an audit log afterwards shows, and the first bad entry is named."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Signer, Verifier
from svc_core.domain.audit import CHECKPOINT, NO_ENTRY, AuditEntry, AuditHead, Checkpoint
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import IdentityError
from svc_core.wire import audit
from svc_core.wire.audit_chain import Fault, FaultKind, first_fault, read_link
from tests.builders import NOW, fixed_bytes

Log = dict[int, dict[str, object]]
SIGNER = Signer.from_seed(Algorithm.ML_DSA_44, SecretBytes(fixed_bytes("authority")))
STRANGER = Signer.from_seed(Algorithm.ML_DSA_44, SecretBytes(fixed_bytes("stranger")))
VERIFIER = Verifier.from_public(Algorithm.ML_DSA_44, SIGNER.public)
SIZE = 12
SIGNED = (4, 9)


def check(signer: str, signature: bytes, message: bytes) -> None:
    if signer != "metadata-1":
        raise IdentityError(f"{signer!r} is not one of the pinned identities")
    VERIFIER.verify(signature, message, context=contexts.AUDIT_CHECKPOINT)


def entry(number: int, **changes: object) -> AuditEntry:
    plain = AuditEntry(number, NOW, "metadata-1", "issuer.staged", f"ca-{number}-1", {"n": "1"})
    return replace(plain, **changes)  # type: ignore[arg-type]


def checkpoint(
    number: int, previous: bytes, *, first: int = 1, before: bytes = bytes(32), by: Signer = SIGNER
) -> AuditEntry:
    message = audit.checkpoint_input(number, NOW, previous=previous, first=first, before=before)
    signature = by.sign(message, context=contexts.AUDIT_CHECKPOINT)
    signed = Checkpoint(first, before, "metadata-1", signature)
    return AuditEntry(number, NOW, "metadata-1", CHECKPOINT, "", checkpoint=signed)


def append(log: Log, made: AuditEntry, previous: bytes) -> bytes:
    body = audit.encode(made)
    log[made.number] = audit.encode_stored(body, previous)
    return audit.digest_of(body, previous)


def make_log(*, by: Signer = SIGNER, upto: int = SIZE) -> Log:
    """Return a log of twelve entries, of which the 4th and the 9th are checkpoints."""
    log: Log = {}
    digest = NO_ENTRY.digest
    for number in range(1, upto + 1):
        made = checkpoint(number, digest, by=by) if number in SIGNED else entry(number)
        digest = append(log, made, digest)
    return log


def head_of(log: Log, number: int = SIZE) -> AuditHead:
    return AuditHead(number, read_link(log[number]).digest)


def truncated(log: Log, first: int) -> Log:
    """Return ``log`` with a 13th entry that permits ``first``, cut there."""
    before = read_link(log[first]).previous
    digest = head_of(log).digest
    append(log, checkpoint(SIZE + 1, digest, first=first, before=before), digest)
    return {n: data for n, data in log.items() if n >= first}


def recomputed(log: Log, number: int) -> Log:
    """Make the chain from ``number`` on consistent again, as who changed it would."""
    digest = read_link(log[number - 1]).digest if number > 1 else NO_ENTRY.digest
    for n in range(number, max(log) + 1):
        body, _, _ = audit.decode_stored(log[n])
        log[n] = audit.encode_stored(body, digest)
        digest = audit.digest_of(body, digest)
    return log


def with_body(log: Log, number: int, body: bytes, *, digest: bool) -> Log:
    _, previous, own = audit.decode_stored(log[number])
    log[number] = audit.encode_stored(body, previous)
    if not digest:
        log[number]["digest"] = own.hex()
    return log


def swap(log: Log, one: int, other: int) -> None:
    log[one], log[other] = log[other], log[one]


def change(log: Log, number: int, *, digest: bool) -> Log:
    return with_body(log, number, audit.encode(entry(number, subject="ca-666-1")), digest=digest)


def renumber(log: Log, number: int) -> None:
    """Put the entry after ``number`` in its place, under its number and with its links."""
    body = read_link(log[number + 1]).body
    moved = replace(audit.decode(body), number=number)
    with_body(log, number, audit.encode(moved), digest=True)


TAMPERED: list[tuple[str, Callable[[Log], object], int, FaultKind]] = [
    ("the first is missing", lambda log: log.pop(1), 1, FaultKind.MISSING),
    ("one in the middle is missing", lambda log: log.pop(6), 6, FaultKind.MISSING),
    ("the last is missing", lambda log: log.pop(12), 12, FaultKind.MISSING),
    ("everything is missing", lambda log: log.clear(), 1, FaultKind.MISSING),
    (
        "the first half is missing without a signature that says so",
        lambda log: [log.pop(n) for n in range(1, 6)],
        1,
        FaultKind.MISSING,
    ),
    ("one is changed", lambda log: change(log, 6, digest=False), 6, FaultKind.CHANGED),
    (
        "one is changed, digest and all",
        lambda log: change(log, 6, digest=True),
        6,
        FaultKind.CHANGED,
    ),
    (
        "the last is changed, digest and all",
        lambda log: change(log, 12, digest=True),
        12,
        FaultKind.HEAD,
    ),
    ("one byte of a digest", lambda log: log[6].update(digest="00" * 32), 6, FaultKind.CHANGED),
    ("a link is changed", lambda log: log[6].update(previous="00" * 32), 6, FaultKind.CHANGED),
    ("one is no entry", lambda log: log.update({6: {"entry": "{}"}}), 6, FaultKind.CHANGED),
    ("one is no text", lambda log: log[6].update(entry=7), 6, FaultKind.CHANGED),
    (
        "one is not canonical",
        lambda log: with_body(log, 6, read_link(log[6]).body + b" ", digest=True),
        6,
        FaultKind.CHANGED,
    ),
    ("two have changed places", lambda log: swap(log, 5, 7), 5, FaultKind.REORDERED),
    ("one is there twice", lambda log: log.update({6: dict(log[5])}), 6, FaultKind.REORDERED),
    ("one is under another number", lambda log: renumber(log, 6), 6, FaultKind.CHANGED),
    (
        "the chain is made anew from one on: its next checkpoint does not fit",
        lambda log: (change(log, 6, digest=True), recomputed(log, 6)),
        9,
        FaultKind.SIGNATURE,
    ),
    (
        "the chain is made anew behind the last checkpoint",
        lambda log: (change(log, 11, digest=True), recomputed(log, 11)),
        12,
        FaultKind.HEAD,
    ),
    (
        "a checkpoint of somebody else",
        lambda log: (
            with_body(
                log,
                9,
                audit.encode(checkpoint(9, read_link(log[8]).digest, by=STRANGER)),
                digest=True,
            ),
            recomputed(log, 9),
        ),
        9,
        FaultKind.SIGNATURE,
    ),
    (
        "a checkpoint of another place",
        lambda log: (
            with_body(
                log, 9, audit.encode(replace(read_link(log[4]).entry, number=9)), digest=True
            ),
            recomputed(log, 9),
        ),
        9,
        FaultKind.SIGNATURE,
    ),
    (
        "cut by somebody else",
        lambda log: (
            log.update(
                {
                    13: audit.encode_stored(
                        audit.encode(
                            checkpoint(
                                13,
                                read_link(log[12]).digest,
                                first=6,
                                before=read_link(log[5]).digest,
                                by=STRANGER,
                            )
                        ),
                        read_link(log[12]).digest,
                    )
                }
            ),
            [log.pop(n) for n in range(1, 6)],
        ),
        1,
        FaultKind.MISSING,
    ),
]


@pytest.mark.parametrize(
    ("tamper", "number", "kind"),
    [pytest.param(*case, id=name) for name, *case in TAMPERED],
)
def test_what_was_tampered_with_is_named(
    tamper: Callable[[Log], object], number: int, kind: FaultKind
) -> None:
    log = make_log()
    head = head_of(log)
    assert first_fault(log, head, check) is None

    tamper(log)

    fault = first_fault(log, head, check)
    assert fault is not None
    assert (fault.number, fault.kind) == (number, kind)


def test_a_whole_log_is_whole_with_or_without_a_head() -> None:
    assert first_fault(make_log(), NO_ENTRY, check) is None
    assert first_fault({}, NO_ENTRY, check) is None


def test_entries_behind_the_head_are_what_happened_since() -> None:
    log = make_log()

    assert first_fault(log, head_of(log, 7), check) is None


def test_a_log_that_ends_before_the_head_lacks_what_the_head_names() -> None:
    log = make_log()
    head = head_of(log)

    short = {n: data for n, data in log.items() if n <= 10}

    assert first_fault(short, head, check) == Fault(11, FaultKind.MISSING, "there is no such entry")


def test_a_log_that_was_cut_as_a_signature_says_is_whole() -> None:
    log = truncated(make_log(), 6)

    assert min(log) == 6
    assert first_fault(log, head_of(log, 13), check) is None


def test_what_should_be_gone_may_still_be_there() -> None:
    log = make_log()
    whole = dict(log)
    cut = truncated(log, 6)

    assert first_fault({5: whole[5], **cut}, head_of(cut, 13), check) is None


@pytest.mark.parametrize("number", [6, 7, 12])
def test_of_a_cut_log_the_first_bad_entry_is_named_too(number: int) -> None:
    log = truncated(make_log(), 6)
    head = head_of(log, 13)
    del log[number]

    fault = first_fault(log, head, check)

    assert fault is not None
    assert (fault.number, fault.kind) == (number, FaultKind.MISSING)


def test_a_cut_log_begins_with_the_entry_that_the_signature_names() -> None:
    log = truncated(make_log(), 6)
    head = head_of(log, 13)
    body, _, _ = audit.decode_stored(log[6])
    log[6] = audit.encode_stored(body, bytes(32))

    fault = first_fault(log, head, check)

    assert fault is not None
    assert (fault.number, fault.kind) == (6, FaultKind.CHANGED)


def test_more_is_never_cut_than_what_took_effect() -> None:
    log = make_log()
    head = head_of(log, 3)
    cut = truncated(log, 6)

    assert first_fault(cut, head, check) == Fault(
        3, FaultKind.HEAD, "more was cut off than ever took effect"
    )


@given(st.integers(1, SIZE), st.integers(0, 10_000), st.integers(1, 255))
def test_any_other_byte_in_an_entry_shows(number: int, place: int, flip: int) -> None:
    log = make_log()
    head = head_of(log)
    raw = bytearray(msgspec.json.encode(log[number]))
    raw[place % len(raw)] ^= flip
    try:
        log[number] = msgspec.json.decode(bytes(raw), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return

    fault = first_fault(log, head, check)

    assert fault is not None
    assert fault.number == number
