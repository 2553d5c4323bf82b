"""What the doctor tries, and what must come of it: one table for every kind of listener.

An attempt is worse than expected when the listener let it get further than the table says. Every
attempt stands between two controls that must be served, because a listener that is down refuses
everything.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from svc_core.domain.handshakes import Refusal
from svc_core.runtime import admin_metrics


class Shown(StrEnum):
    """Which certificate an attempt shows."""

    NONE = "none"
    GOOD = "good"
    """One that is served."""
    READER = "reader"
    """One that may read the status."""
    FOREIGN = "foreign"
    """Of an authority of our own that bears the name of a trusted one."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    SERVER = "server"
    """A server's, of a trusted authority."""
    STRANGER = "stranger"
    """A client's of a trusted authority, whose name is not authorised."""


class Manner(StrEnum):
    """How an attempt speaks."""

    TLS_1_3 = "TLS 1.3"
    TLS_1_2 = "TLS 1.2"
    PLAIN = "plain text"
    SILENT = "nothing"
    RESUMED = "a session of before"


class Reach(IntEnum):
    """How far an attempt got."""

    UNREACHABLE = 0
    """Nobody listens, or nothing can be said about who does."""
    REFUSED = 1
    """The connection or the handshake was ended by the other side."""
    DENIED = 2
    """The handshake was completed, what was asked for was not given."""
    SERVED = 3
    """What was asked for was given."""

    @property
    def label(self) -> str:
        """The name in lower case, as it is printed."""
        return self.name.lower()


class Kind(StrEnum):
    """What kind of listener is tried."""

    ADMIN = "admin"
    NATS = "nats"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of one attempt at one kind of listener."""

    reach: Reach
    because: str = ""
    """Part of what the other side says; empty where it says nothing."""
    counted: str = ""
    """The counter that moves by one: ``metric{label}``; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is tried."""

    name: str
    shows: Shown
    speaks: Manner
    admin: Expectation
    nats: Expectation | None

    def expectation(self, kind: Kind) -> Expectation | None:
        """Return what must come of it at that kind of listener; None where it makes no sense."""
        return self.admin if kind is Kind.ADMIN else self.nats


def counter(metric: str, label: str) -> str:
    """Return how a counter is written here."""
    return f"{metric}{{{label}}}"


def _refused(reason: Refusal) -> Expectation:
    # asyncio sends no alert: only the listener's own counter says why.
    return Expectation(
        Reach.REFUSED, counted=counter(admin_metrics.HANDSHAKES_REFUSED, reason.value)
    )


def _denied(code: int) -> Expectation:
    return Expectation(Reach.DENIED, str(code), counter(admin_metrics.REQUESTS_REFUSED, str(code)))


def _alert(name: str) -> Expectation:
    return Expectation(Reach.REFUSED, name)


_NOT_RESUMED: Final = Expectation(Reach.REFUSED, "no session")
_TLS13: Final = Manner.TLS_1_3

CASES: Final = (
    Case(
        "no certificate",
        Shown.NONE,
        _TLS13,
        _denied(401),
        _alert("CERTIFICATE_REQUIRED"),
    ),
    Case(
        "a foreign authority of the same name",
        Shown.FOREIGN,
        _TLS13,
        _refused(Refusal.UNKNOWN_CA),
        _alert("UNKNOWN_CA"),
    ),
    Case(
        "an expired certificate",
        Shown.EXPIRED,
        _TLS13,
        _refused(Refusal.EXPIRED),
        _alert("CERTIFICATE_EXPIRED"),
    ),
    Case(
        "a certificate that is not valid yet",
        Shown.NOT_YET_VALID,
        _TLS13,
        _refused(Refusal.NOT_YET_VALID),
        # Go has one alert for both ends of the validity.
        _alert("CERTIFICATE_EXPIRED"),
    ),
    Case(
        "a server's certificate",
        Shown.SERVER,
        _TLS13,
        _refused(Refusal.WRONG_PURPOSE),
        _alert("BAD_CERTIFICATE"),
    ),
    Case(
        "a name that is not authorised",
        Shown.STRANGER,
        _TLS13,
        _denied(403),
        Expectation(Reach.DENIED, "Authorization Violation"),
    ),
    Case(
        "TLS 1.2",
        Shown.GOOD,
        Manner.TLS_1_2,
        _refused(Refusal.PROTOCOL_VERSION),
        _alert("PROTOCOL_VERSION"),
    ),
    Case(
        "plain text",
        Shown.NONE,
        Manner.PLAIN,
        _refused(Refusal.PLAIN_TEXT),
        Expectation(Reach.REFUSED),
    ),
    Case(
        "silence",
        Shown.NONE,
        Manner.SILENT,
        _refused(Refusal.TIMEOUT),
        Expectation(Reach.REFUSED),
    ),
    Case(
        "a session of before",
        Shown.GOOD,
        Manner.RESUMED,
        _NOT_RESUMED,
        # Go resumes, but forgets its sessions with every reload, and so with every withdrawal.
        Expectation(Reach.SERVED, "resumed"),
    ),
    Case(
        "the certificate of a reader of the status",
        Shown.READER,
        _TLS13,
        Expectation(Reach.SERVED, "200"),
        None,
    ),
)
"""In the order in which they are tried."""
