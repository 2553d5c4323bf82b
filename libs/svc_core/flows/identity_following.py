"""Following the operator-signed list of Metadata's identities while the process runs.

A list is taken over as a whole or not at all. What is missing, damaged, not the operator's or not
newer leaves the one in force as it is, for however long: whoever can write the file can thereby
neither add nor remove anybody, and cannot bring back who was removed.
"""

from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from svc_core.errors import ConfigError, IdentityListRollbackError, RejectedError
from svc_core.flows.statements import Statements
from svc_core.ports.pinned import PinnedIdentities
from svc_core.runtime.health import Health
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire.identities import SignedIdentities

log = structlog.get_logger()

REFUSED: Final = "st_identity_lists_refused_total"
VERSION: Final = "st_identity_list_version"

_BUDGET: Final = timedelta(seconds=30)


class NotListedError(ConfigError):
    """This process signs for Metadata under an identity that was removed from the list."""

    code = "identity.not_listed"
    advice = "start it under a listed identity, as `docs/runbooks/identities.md` says"


class IdentityListMissingError(RejectedError):
    """There is no list where there was one; the last one stays in force."""

    code = "identity.list_missing"
    advice = "put the list back; without one no service starts again"


class IdentityFollower:
    """The loop that keeps `Statements` as the newest list says."""

    name: Final = "identity_following"

    def __init__(
        self,
        pinned: PinnedIdentities,
        in_force: SignedIdentities,
        statements: Statements,
        health: Health,
        metrics: CollectorRegistry,
    ) -> None:
        """Prepare the loop.

        Args:
            pinned: where the list is.
            in_force: what ``statements`` was made from.
            statements: gets the identities of every newer list.
            health: told what is in force, and why a newer one is not.
            metrics: where refused lists and the version in force are counted.
        """
        self._pinned = pinned
        self._in_force = in_force
        self._statements = statements
        self._health = health
        self._refused = Counter(
            REFUSED, "Lists of Metadata's identities that were refused.", registry=metrics
        )
        self._version = Gauge(
            VERSION, "Version of the list of Metadata's identities in force.", registry=metrics
        )
        self._version.set(in_force.version)
        self._seen: bytes | None = None
        """What was judged last."""
        self._has_looked = False
        self._complaint = ""
        self._waiting: list[Wakeup] = []
        self.required = ""
        """An identity without which this process must end; empty for none."""
        health.expect(self.name, _BUDGET)

    @property
    def in_force(self) -> SignedIdentities:
        """The list that counts now."""
        return self._in_force

    def wake(self, *waiting: Wakeup) -> None:
        """Set these whenever another list is in force."""
        self._waiting += waiting

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            NotListedError: the list in force does not name who is required.
            ConfigError: the list cannot be watched.
        """
        async for raw in self._pinned.follow():
            if raw != self._seen or not self._has_looked:
                self._seen, self._has_looked = raw, True
                self._judge(raw)
            self._health.beat(self.name, self._describe())

    def _judge(self, raw: bytes | None) -> None:
        if raw is None:
            self._refuse(IdentityListMissingError(f"{self._pinned.name} cannot be read"))
            return
        try:
            self._take_over(self._pinned.verified(raw))
        except RejectedError as err:
            self._refuse(err)
        else:
            self._complaint = ""

    def _refuse(self, err: RejectedError) -> None:
        self._complaint = f"the list there is refused: {err} [{err.code}]"
        self._refused.inc()
        log.warning(
            "identities.refused", code=err.code, reason=str(err), version=self._in_force.version
        )

    def _take_over(self, signed: SignedIdentities) -> None:
        former = self._in_force
        if (signed.version, signed.signing_input) == (former.version, former.signing_input):
            return
        if signed.version <= former.version:
            raise IdentityListRollbackError(
                f"list of version {signed.version}, while version {former.version} is in force"
            )
        listed = [identity.id for identity in signed.identities]
        if self.required and self.required not in listed:
            raise NotListedError(
                f"{self.required!r} is not in version {signed.version} of the pinned identities"
            )
        self._statements.replace(signed.identities)
        self._in_force = signed
        self._version.set(signed.version)
        log.info("identities.replaced", version=signed.version, identities=listed)
        for wakeup in self._waiting:
            wakeup.set()

    def _describe(self) -> str:
        listed = ", ".join(identity.id for identity in self._in_force.identities)
        detail = f"version {self._in_force.version}: {listed}"
        return f"{detail}; {self._complaint}" if self._complaint else detail
