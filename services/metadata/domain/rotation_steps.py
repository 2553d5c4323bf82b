"""The steps a plan can ask for: each is taken, journalled and audited on its own."""

from dataclasses import dataclass

from svc_core.domain.desired import CutLeaf


@dataclass(frozen=True, slots=True)
class Plan:
    """Journal the attempt to make an issuer for ``epoch``."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Mint:
    """Make the planned issuer in OpenBao and publish it as trusted."""

    name: str


@dataclass(frozen=True, slots=True)
class MarkTrusted:
    """Every live party trusts it."""

    name: str


@dataclass(frozen=True, slots=True)
class Activate:
    """Let it sign leaves; ``proven`` asks for a canary handshake with every server first."""

    name: str
    proven: bool
    cut: tuple[CutLeaf, ...] = ()
    """Leaves of those who were waited for long enough."""


@dataclass(frozen=True, slots=True)
class MarkDrained:
    """No live connection uses it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Kick:
    """Have its remaining connections cut."""

    name: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Take it out of the trusted set at the end of its life."""

    name: str


@dataclass(frozen=True, slots=True)
class GoBack:
    """Make it active again, since its successor failed."""

    name: str
    reason: str
    fenced: tuple[str, ...] = ()
    """Servers because of which."""


@dataclass(frozen=True, slots=True)
class Unfence:
    """Let servers in again that were verified."""

    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """Have OpenBao sign nothing with it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take it out of the trusted set before its time, or give up making it."""

    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete issuer and key in OpenBao."""

    name: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Something is wanted, but not safe yet."""

    reason: str


Step = (
    Plan
    | Mint
    | MarkTrusted
    | Activate
    | MarkDrained
    | Kick
    | Retire
    | GoBack
    | Unfence
    | Silence
    | Withdraw
    | Remove
)
