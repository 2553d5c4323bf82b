"""Looking up an instance's registered public keys; what a message says about itself is no proof.

Anybody who may ask can invent instances, and each costs a look into the store. So strangers have
an allowance per service; who has been found once is not counted against it.
"""

import asyncio
from base64 import b64decode
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from cachetools import LRUCache, TTLCache

from services.metadata.domain.allowance import Allowance
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Verifier
from svc_core.domain.identity import InstanceName, ServiceName, instance_name
from svc_core.domain.subjects import KEMS_PATH, identity_path, kem_path
from svc_core.errors import IdentityError, RejectedError
from svc_core.ports.secret_store import SecretStore
from svc_core.ports.time import Clock
from svc_core.wire import documents, instance_kem
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.status import signer_of

STRANGERS_AT_ONCE: Final = 32
STRANGERS_PER_S: Final = 4.0
_KNOWN: Final = 1024
_UNKNOWN: Final = 1024
_SERVICES: Final = 256
_KNOWN_FOR: Final = timedelta(seconds=30)
_UNKNOWN_FOR: Final = timedelta(seconds=2)


class StrangersRefusedError(RejectedError):
    """So many unknown instances of this service asked that no more are looked up for now."""

    code = "identity.too_many_unknown"
    advice = "find out who asks under invented names; a new instance is let in seconds later"


class RevokedError(RejectedError):
    """The service is revoked, or this identity of it was when it still was."""

    code = "identity.revoked"
    advice = "lift it with `securetransport unrevoke`; the instance then needs a new identity"


class KemRefusedError(RejectedError):
    """The key that bundles would be sealed to is not its instance's: nothing is sealed to it."""

    code = "identity.kem_refused"
    advice = "remove the entry and find out who wrote it; the instance registers at its next start"


class InstanceKeys:
    """Registered verifiers by instance, cached for a while, misses for a moment."""

    def __init__(self, store: SecretStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: TTLCache[str, Verifier] = TTLCache(
            _KNOWN, _KNOWN_FOR.total_seconds(), timer=clock.monotonic
        )
        self._unknown: TTLCache[str, bool] = TTLCache(
            _UNKNOWN, _UNKNOWN_FOR.total_seconds(), timer=clock.monotonic
        )
        self._met: LRUCache[str, bool] = LRUCache(_KNOWN)
        self._refused: frozenset[str] = frozenset()
        self._strangers: LRUCache[ServiceName, Allowance] = LRUCache(_SERVICES)

    async def verifier(self, service: ServiceName, instance: InstanceName) -> Verifier:
        """Return the verifier registered for one instance.

        Raises:
            RevokedError: it was revoked for good, whatever is registered there.
            IdentityError: nothing (usable) is registered there.
            StrangersRefusedError: too many that nobody knows were looked up just now.
        """
        if self.is_refused(service, instance):
            raise RevokedError(f"{service}/{instance} was revoked for good")
        path = identity_path(service, instance)
        if (known := self._known.get(path)) is not None:
            return known
        if path in self._unknown:
            raise IdentityError(f"{service}/{instance} is not registered")
        if path not in self._met:
            self._count_stranger(service)
        try:
            verifier = await self._fetch(path)
        except (IdentityError, ValueError) as err:
            self._unknown[path] = True
            raise IdentityError(f"{service}/{instance} is not registered") from err
        self._known[path] = verifier
        self._met[path] = True
        return verifier

    async def kem(self, service: ServiceName, instance: InstanceName) -> InstanceKem | None:
        """Return the key that bundles of one instance are sealed to; None when there is none.

        Unlike a pull this is nothing anybody can ask for, so no allowance is used up. Whether the
        instance is refused is not looked at.

        Raises:
            KemRefusedError: what is registered there is not signed by that very instance.
            SecretStoreError: OpenBao does not answer.
        """
        entry = await self._store.fetch(kem_path(service, instance))
        if entry is None:
            return None
        try:
            verifier = await self._fetch(identity_path(service, instance))
            document = documents.decode_entry(entry.data)
            if document.signer != signer_of(service, instance):
                raise IdentityError(f"it is signed by {document.signer}")
            await asyncio.to_thread(
                verifier.verify,
                document.signature,
                documents.signing_input(document.signer, document.body),
                context=contexts.INSTANCE_KEM,
            )
            kem = instance_kem.decode(document.body)
            if (kem.service, kem.instance) != (service, instance):
                raise IdentityError(f"it is one of {kem.service}/{kem.instance}")
        except (RejectedError, ValueError) as err:
            raise KemRefusedError(f"the key of {service}/{instance}: {err}") from err
        return kem

    def is_refused(self, service: ServiceName, instance: InstanceName) -> bool:
        """Say whether this one was revoked for good."""
        return f"{service}/{instance}" in self._refused

    def refuse(self, names: frozenset[str]) -> None:
        """Refuse these, as ``<service>/<instance>``, from now on."""
        self._refused = names

    async def fetch_instances(self, service: ServiceName) -> tuple[InstanceName, ...]:
        """Return the name of every instance of ``service`` that ever registered."""
        names = await self._store.fetch_names(f"identities/{service}")
        return tuple(InstanceName(name) for name in names if not name.endswith("/"))

    async def fetch_kem_names(self, service: ServiceName) -> tuple[InstanceName, ...]:
        """Return the name of every instance of ``service`` that registered such a key."""
        names = await self._store.fetch_names(f"{KEMS_PATH}/{service}")
        return tuple(_legal(names))

    def _count_stranger(self, service: ServiceName) -> None:
        allowance = self._strangers.get(service)
        if allowance is None:
            allowance = Allowance(STRANGERS_AT_ONCE, STRANGERS_PER_S)
            self._strangers[service] = allowance
        if not allowance.take(self._clock.monotonic()):
            raise StrangersRefusedError(f"too many unknown instances of {service} ask")

    async def _fetch(self, path: str) -> Verifier:
        found = await self._store.fetch(path)
        if found is None:
            raise IdentityError("nothing is registered")
        algorithm = Algorithm(str(found.data.get("algorithm")))
        return Verifier.from_public(
            algorithm, b64decode(str(found.data.get("public")), validate=True)
        )


def _legal(names: Iterable[str]) -> Iterator[InstanceName]:
    for name in names:
        try:
            yield instance_name(name)
        except ValueError:
            continue
