"""What the operator's commands about keys and services do, step by step.

Revoking is one entry in the ledger. From it follows everything else: the rights without the
service, hence the desired state without its user and the servers' reload, other topic keys, and
bundles without its verify keys. What does not follow is ended here: its way into OpenBao, and the
bundles that lie there for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.metadata.domain.bundle_recipients import keyed_services
from services.metadata.domain.key_ledger import KeyLedger, KeySnapshot
from services.metadata.flows.access_ending import AccessEnding
from services.metadata.flows.adoption import Adoption
from services.metadata.flows.bundle_keeping import BundleKeeper
from services.metadata.flows.commands import CarryOut, Outcome, Progress
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.ledger_keeping import LedgerKeeper
from svc_core.domain.identity import METADATA, WATCHER, ServiceName
from svc_core.domain.keys import topic_key_id
from svc_core.domain.operator_command import (
    REVOKE,
    ROTATE_KEYS,
    UNREVOKE,
    CommandRefusedError,
    CommandUnknownError,
    OperatorCommand,
)

IRREVOCABLE: Final = {
    METADATA: "it is the authority itself: take its identity out of the operator-signed list",
    WATCHER: "it makes the servers follow: replace its credentials and restart it instead",
}


_MOST_NAMED: Final = 200
"""Topics whose keys the outcome of an order names."""


@dataclass(frozen=True, slots=True)
class OrderTools:
    """What orders are carried out with besides the keys."""

    access: AccessEnding
    bundles: BundleKeeper
    adoption: Adoption


class KeyOrders:
    """Carries out ``rotate-keys``, ``revoke`` and ``unrevoke``."""

    def __init__(
        self,
        ledgers: LedgerKeeper,
        keys: KeyIssuance,
        instances: InstanceKeys,
        tools: OrderTools,
        known: frozenset[ServiceName],
    ) -> None:
        self._ledgers = ledgers
        self._keys = keys
        self._instances = instances
        self._access = tools.access
        self._bundles = tools.bundles
        self._adoption = tools.adoption
        self._known = known

    @property
    def kinds(self) -> Mapping[str, CarryOut]:
        """How each kind of command is carried out."""
        return {ROTATE_KEYS: self.rotate, REVOKE: self.revoke, UNREVOKE: self.unrevoke}

    async def rotate(self, command: OperatorCommand, progress: Progress) -> Outcome:
        """Give every topic another key in the epochs that can still seal."""
        await self._ledgers.change(partial(KeyLedger.rolled, order=command.id))
        snapshot = await self._keys.catch_up()
        outcome = self._issued(snapshot)
        await progress(outcome)
        return {**outcome, **await self._adopted(snapshot)}

    async def revoke(self, command: OperatorCommand, progress: Progress) -> Outcome:
        """Take everything from a service: user, keys, identities, secret-ids and tokens.

        Raises:
            CommandUnknownError: no service is called so.
            CommandRefusedError: it is one that nothing works without.
        """
        service = self._service(command)
        if (instead := IRREVOCABLE.get(service)) is not None:
            raise CommandRefusedError(f"{service} cannot be revoked; {instead}")
        known = await self._instances.fetch_instances(service)
        ledger = await self._ledgers.change(
            partial(KeyLedger.without, service=service, instances=known)
        )
        snapshot = await self._keys.catch_up()
        outcome: dict[str, object] = {
            "service": service,
            **self._issued(snapshot),
            "identities_refused": sorted(n for n in ledger.refused if _is_of(n, service)),
        }
        await progress(outcome)
        outcome["bundles_removed"] = await self._bundles.withdraw(service)
        ended = await self._access.end(service)
        outcome |= {"secret_ids_destroyed": ended.secret_ids, "tokens_revoked": ended.tokens}
        await progress(outcome)
        # An instance may have registered until its way into OpenBao was ended.
        late = await self._instances.fetch_instances(service)
        await self._ledgers.change(partial(KeyLedger.without, service=service, instances=late))
        verified = await self._adoption.of_servers(service, is_revoked=True)
        outcome["servers_verified"] = verified
        await progress(outcome)
        return {**outcome, **await self._adopted(snapshot)}

    async def unrevoke(self, command: OperatorCommand, progress: Progress) -> Outcome:
        """Let a service back in; every identity it had stays refused."""
        service = self._service(command)
        ledger = await self._ledgers.change(partial(KeyLedger.lifted, service=service))
        snapshot = await self._keys.catch_up()
        outcome: dict[str, object] = {
            "service": service,
            **self._issued(snapshot),
            "identities_refused": sorted(n for n in ledger.refused if _is_of(n, service)),
        }
        await progress(outcome)
        verified = await self._adoption.of_servers(service, is_revoked=False)
        return {**outcome, "servers_verified": verified}

    def _service(self, command: OperatorCommand) -> ServiceName:
        name = command.arguments.get("service", "")
        for service in self._known:
            if service == name:
                return service
        raise CommandUnknownError(f"{name or 'nothing'} is no service of this deployment")

    def _issued(self, snapshot: KeySnapshot) -> dict[str, object]:
        """Return the version, and the key that seals each topic in every epoch from now on.

        Of more topics than anybody reads only the first are named: the outcome is one entry of the
        store.
        """
        sealing: dict[str, list[str]] = {}
        omitted = 0
        for generation in self._keys.sealing:
            counts = sorted(generation.counts.items())
            omitted = max(omitted, len(counts) - _MOST_NAMED)
            for topic, count in counts[:_MOST_NAMED]:
                newest = topic_key_id(topic, generation.epoch, generation=count - 1)
                sealing.setdefault(topic, []).append(newest)
        outcome: dict[str, object] = {"bundle_version": snapshot.version, "topic_keys": sealing}
        return outcome | ({"topics_omitted": omitted} if omitted else {})

    async def _adopted(self, snapshot: KeySnapshot) -> Outcome:
        services = keyed_services(snapshot.acl)
        adopters = await self._adoption.of_bundles(snapshot.version, services)
        return {"adoption": adopters.as_document()}


def _is_of(name: str, service: ServiceName) -> bool:
    return name.startswith(f"{service}/")
