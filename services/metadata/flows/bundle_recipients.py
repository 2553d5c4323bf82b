"""Finding for whom bundles are kept: who registered a key, may have bundles, and may come back."""

from collections.abc import Callable, Sequence

import structlog

from services.metadata.domain.bundle_recipients import is_kept
from services.metadata.domain.key_ledger import KeyLedger
from services.metadata.flows.instance_keys import InstanceKeys
from svc_core.domain.claims import claims_folder
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import kem_path
from svc_core.errors import RejectedError
from svc_core.ports.secret_store import SecretStore
from svc_core.ports.time import Clock
from svc_core.wire.instance_kem import InstanceKem

log = structlog.get_logger()

_Place = tuple[ServiceName, InstanceName]


class BundleRecipients:
    """The registered keys; each is verified once, since nobody may replace one."""

    def __init__(self, store: SecretStore, instances: InstanceKeys, clock: Clock) -> None:
        self._store = store
        self._instances = instances
        self._clock = clock
        self._kems: dict[_Place, InstanceKem] = {}
        self._refused: set[_Place] = set()

    def forget_all(self) -> None:
        """Read and verify every key again, the next time."""
        self._kems.clear()

    async def fetch(
        self, service: ServiceName, ledger: KeyLedger, *, may_forget: Callable[[], bool]
    ) -> Sequence[InstanceKem]:
        """Return the key of every instance of ``service`` that a bundle is kept for.

        Args:
            service: one that has keys.
            ledger: says which instances are refused.
            may_forget: asked before the registration of an instance that is gone is removed.

        Raises:
            SecretStoreError: OpenBao does not answer.
        """
        claims = await self._store.fetch_names(claims_folder(service))
        now, recipients = self._clock.now(), []
        for instance in await self._instances.fetch_kem_names(service):
            kem = await self._kem(service, instance)
            if kem is None:
                continue
            if is_kept(instance, claims=claims, registered_at=kem.made_at, now=now):
                if f"{service}/{instance}" not in ledger.refused:
                    recipients.append(kem)
            elif may_forget():
                await self._forget(kem)
        return recipients

    async def _kem(self, service: ServiceName, instance: InstanceName) -> InstanceKem | None:
        place = service, instance
        if place in self._kems:
            return self._kems[place]
        try:
            found = await self._instances.kem(service, instance)
        except RejectedError as err:
            self._report_refused(place, err)
            return None
        if found is not None:
            self._kems[place] = found
            self._refused.discard(place)
        return found

    def _report_refused(self, place: _Place, err: RejectedError) -> None:
        if place not in self._refused:
            self._refused.add(place)
            log.warning("kem.refused", of="/".join(place), code=err.code, reason=str(err))

    async def _forget(self, kem: InstanceKem) -> None:
        await self._store.remove(kem_path(kem.service, kem.instance))
        self._kems.pop((kem.service, kem.instance), None)
        log.info("kem.removed", of=f"{kem.service}/{kem.instance}")
