"""Where a service can be killed: before or after one thing that it does to the world, by name.

What a service does is known by what passes its adapters, written as a line of text: a request to
OpenBao with its path (and, for the audit log and the journal, the step that it is about; for a
signature of the root, the mount that it is for), a subject on NATS, a file that is renamed into
place, a record of a journal. These lines are made by `tests.chaos.killed_service`; a point says
which of them it waits for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, ServiceName


class When(StrEnum):
    """On which side of what is done."""

    BEFORE = "before"
    """It has not left the process."""
    AFTER = "after"
    """It is done, and the process does not know yet."""


class Phase(StrEnum):
    """When a point comes by."""

    ROTATION = "rotation"
    """In every rotation of the CA."""
    ROOTS = "roots"
    """In every change of the root: by order, or at the end of its time."""
    KEYS = "keys"
    """Whenever keys are made and handed out."""
    TRAFFIC = "traffic"
    """With every message."""
    START = "start"
    """At every start: a process can be killed there again while it recovers."""


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One place to die at."""

    service: ServiceName
    operation: str
    when: When
    event: re.Pattern[str]
    """The whole line of what is done."""
    phase: Phase

    @property
    def label(self) -> str:
        """How it is called everywhere."""
        return f"{self.service} {self.operation} {self.when}"

    @property
    def recurs(self) -> bool:
        """Whether a process that starts again comes by here at once, to finish what it began.

        What is done and stays done comes again only with the next rotation or key epoch.
        """
        return self.when is When.BEFORE or _SETTLED.fullmatch(self.operation) is None

    def is_at(self, event: str, when: When) -> bool:
        """Say whether this is the place."""
        return when is self.when and self.event.fullmatch(event) is not None


_SETTLED: Final = re.compile(
    r"journal\.write .+|(keys|ledger)\.store|keys\.remove|.+\.(key\.make|name|delete)"
    r"|root\.make|checkpoint\.write|connection\.swap"
)
_B: Final = (When.BEFORE,)
_A: Final = (When.AFTER,)
_BOTH: Final = (When.BEFORE, When.AFTER)
_KV: Final = "secret/data"
_ISSUER_ID: Final = "[0-9a-f]{8}-[0-9a-f-]{27}"

_Row = tuple[str, str, tuple[When, ...]]
"""Operation, its line, and the sides of it."""


def _points(service: ServiceName, phase: Phase, rows: Iterable[_Row]) -> tuple[CrashPoint, ...]:
    return tuple(
        CrashPoint(service, operation, when, re.compile(event), phase)
        for operation, event, sides in rows
        for when in sides
    )


def _step(name: str) -> _Row:
    return f"journal.write {name}", f"write {_KV}/transport/journal {name}", _BOTH


def _mint(mount: str, short: str) -> tuple[_Row, ...]:
    return (
        (f"{short}.key.make", f"write {mount}/intermediate/generate/internal", _A),
        (f"{short}.sign", f"write pki/(root|issuer/[^/]+)/sign-intermediate {mount}", _A),
        (f"{short}.import", f"write {mount}/intermediate/set-signed", _BOTH),
        (f"{short}.name", f"write {mount}/issuer/{_ISSUER_ID}", _A),
    )


_METADATA_ROTATION: Final = _points(
    METADATA,
    Phase.ROTATION,
    (
        ("audit.write issuer.planned", f"write {_KV}/transport/audit/\\d+ issuer.planned", _B),
        _step("issuer.planned"),
        *_mint("nats_int", "mint"),
        *_mint("nats_route", "route-mint"),
        ("audit.write issuer.staged", f"write {_KV}/transport/audit/\\d+ issuer.staged", _BOTH),
        _step("issuer.staged"),
        ("desired.store", f"write {_KV}/transport/desired", _BOTH),
        ("desired.publish", r"publish metadata\.client\.ca-cert", _BOTH),
        _step("issuer.trusted"),
        ("canary.sign", "write nats_int/issuer/ca-[0-9-]+/sign/canary", _A),
        ("servers.prove", "prove", _A),
        _step("issuer.activated"),
        _step("issuer.drained"),
        ("checkpoint.write", f"write {_KV}/transport/audit/\\d+ audit.checkpoint", _BOTH),
        _step("issuer.retired"),
        ("audit.write issuer.removed", f"write {_KV}/transport/audit/\\d+ issuer.removed", _A),
        ("mint.issuer.delete", "delete nats_int/issuer/.+", _A),
        ("mint.key.delete", "delete nats_int/key/.+", _A),
        ("route-mint.issuer.delete", "delete nats_route/issuer/.+", _B),
        ("route-mint.key.delete", "delete nats_route/key/.+", _A),
        _step("issuer.removed"),
    ),
)
_METADATA_ROOTS: Final = _points(
    METADATA,
    Phase.ROOTS,
    (
        _step("root.ordered"),
        ("audit.write root.planned", f"write {_KV}/transport/audit/\\d+ root.planned", _B),
        _step("root.planned"),
        ("root.make", "write pki/issuers/generate/root/internal", _BOTH),
        ("audit.write root.staged", f"write {_KV}/transport/audit/\\d+ root.staged", _BOTH),
        _step("root.staged"),
        _step("root.activated"),
        _step("root.retired"),
        ("audit.write root.removed", f"write {_KV}/transport/audit/\\d+ root.removed", _A),
        ("root.issuer.delete", "delete pki/issuer/.+", _A),
        ("root.key.delete", "delete pki/key/.+", _A),
        _step("root.removed"),
    ),
)
_METADATA_KEYS: Final = _points(
    METADATA,
    Phase.KEYS,
    (
        ("keys.wrap", "write transit/encrypt/bundle-master", _A),
        ("audit.write keys.stored", f"write {_KV}/transport/audit/\\d+ keys.stored", _BOTH),
        ("keys.store", f"write {_KV}/transport/keys/\\d+", _BOTH),
        ("audit.write ledger.stored", f"write {_KV}/transport/audit/\\d+ ledger.stored", _A),
        ("ledger.store", f"write {_KV}/transport/key-ledger", _BOTH),
        ("notice.send", r"send metadata\.bundle-push\..+", _BOTH),
        ("bundle.reply", r"answer metadata\.bundle-pull\.svc-metadata", _BOTH),
        ("bundles.store", f"write {_KV}/bundles/[^/]+/[^/]+", _BOTH),
        ("keys.remove", r"delete secret/metadata/transport/keys/\d+", _BOTH),
    ),
)
_METADATA_START: Final = _points(
    METADATA,
    Phase.START,
    (
        ("start", "start", _B),
        ("openbao.login", "login", _A),
        ("journal.read", f"read {_KV}/transport/journal", _A),
        ("lease.take", f"write {_KV}/transport/journal lease.taken", _BOTH),
        ("rights.store", f"write {_KV}/transport/rights", _BOTH),
        ("ledger.read", f"read {_KV}/transport/key-ledger", _A),
        ("keys.read", f"read {_KV}/transport/keys/\\d+", _A),
        ("keys.unwrap", "write transit/decrypt/bundle-master", _A),
    ),
)
_WATCHER_ROTATION: Final = _points(
    WATCHER,
    Phase.ROTATION,
    (
        ("trust.rename", r"rename .*/trust\.d/\d+", _BOTH),
        ("trust.publish", "rename .*/trust", _BOTH),
        ("canary.sign", "write nats_int/issuer/.+/sign/canary", _A),
        ("server-leaf.sign", "write nats_int/issuer/.+/sign/nats-server", _BOTH),
        ("route-leaf.sign", "write nats_route/issuer/.+/sign/nats-route", _A),
        ("files.rename", r"rename .*/live\.d/\d+", _BOTH),
        ("files.publish", "rename .*/live", _BOTH),
        ("reload.request", "reload", _BOTH),
        ("server.prove", "prove", _BOTH),
        ("leaf.sign", "write nats_int/issuer/.+/sign/watcher", _A),
        ("system-leaf.sign", "write nats_int/issuer/.+/sign/watcher-sys", _A),
        ("leaf.adopt", "adopt leaf", _BOTH),
        ("connection.swap", "swap", _BOTH),
        ("status.put", r"publish \$KV\.rotation-status\.watcher\..+", _BOTH),
    ),
)


def _client(service: ServiceName) -> tuple[CrashPoint, ...]:
    status = rf"publish \$KV\.rotation-status\.{service}\..+"
    rotation: tuple[_Row, ...] = (
        ("desired.read", f"read {_KV}/transport/desired", _A),
        ("leaf.sign", f"write nats_int/issuer/.+/sign/{service}", _BOTH),
        ("admin-leaf.sign", f"write nats_int/issuer/.+/sign/{service}-admin", _A),
        ("leaf.publish", "rename .*/tls", _BOTH),
        ("leaf.adopt", "adopt leaf", _A),
        ("connection.swap", "swap", _BOTH),
        ("status.put", status, _BOTH),
    )
    keys: tuple[_Row, ...] = (
        ("bundle.request", r"request metadata\.bundle-pull\.svc-metadata", _BOTH),
        ("bundle.adopt", "adopt bundle", _BOTH),
    )
    return _points(service, Phase.ROTATION, rotation) + _points(service, Phase.KEYS, keys)


def _starts(service: ServiceName) -> tuple[CrashPoint, ...]:
    return _points(
        service,
        Phase.START,
        (
            ("start", "start", _B),
            ("openbao.login", "login", _A),
            ("identity.read", f"read {_KV}/identities/{service}/.+", _A),
        ),
    )


_TRAFFIC: Final = _points(
    GATEKEEPER,
    Phase.TRAFFIC,
    (
        ("journal.append sent", "append sent", _BOTH),
        ("request.publish", r"publish auth\.auth-request", _A),
        ("journal.append acked", "append acked", _A),
        ("journal.append answered", "append answered", _BOTH),
    ),
) + _points(
    AUTHCONTROLLER,
    Phase.TRAFFIC,
    (
        ("response.publish", r"publish gatekeeper\.responder", _BOTH),
        ("journal.append handled", "append handled", _BOTH),
    ),
)

POINTS: Final = (
    *_METADATA_ROTATION,
    *_METADATA_ROOTS,
    *_METADATA_KEYS,
    *_METADATA_START,
    *_WATCHER_ROTATION,
    *_starts(WATCHER),
    *_client(GATEKEEPER),
    *_starts(GATEKEEPER),
    *_client(AUTHCONTROLLER),
    *_starts(AUTHCONTROLLER),
    *_TRAFFIC,
)
"""Every point, in the order in which a rotation comes by them."""

BY_LABEL: Final = {point.label: point for point in POINTS}
