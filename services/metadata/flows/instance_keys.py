"""Looking up an instance's registered public key; what a message says about itself is no proof."""

from base64 import b64decode
from datetime import timedelta
from typing import Final

from cachetools import TTLCache

from svc_core.crypto.signing import Algorithm, Verifier
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import identity_path
from svc_core.errors import IdentityError
from svc_core.ports.secret_store import SecretStore
from svc_core.ports.time import Clock

_KNOWN: Final = 1024
_UNKNOWN: Final = 1024
_KNOWN_FOR: Final = timedelta(seconds=30)
_UNKNOWN_FOR: Final = timedelta(seconds=2)


class InstanceKeys:
    """Registered verifiers by instance, cached for a while, misses for a moment."""

    def __init__(self, store: SecretStore, clock: Clock) -> None:
        self._store = store
        self._known: TTLCache[str, Verifier] = TTLCache(
            _KNOWN, _KNOWN_FOR.total_seconds(), timer=clock.monotonic
        )
        self._unknown: TTLCache[str, bool] = TTLCache(
            _UNKNOWN, _UNKNOWN_FOR.total_seconds(), timer=clock.monotonic
        )

    async def verifier(self, service: ServiceName, instance: InstanceName) -> Verifier:
        """Return the verifier registered for one instance.

        Raises:
            IdentityError: nothing (usable) is registered there.
        """
        path = identity_path(service, instance)
        if (known := self._known.get(path)) is not None:
            return known
        if path in self._unknown:
            raise IdentityError(f"{service}/{instance} is not registered")
        try:
            verifier = await self._fetch(path)
        except (IdentityError, ValueError) as err:
            self._unknown[path] = True
            raise IdentityError(f"{service}/{instance} is not registered") from err
        self._known[path] = verifier
        return verifier

    async def _fetch(self, path: str) -> Verifier:
        found = await self._store.fetch(path)
        if found is None:
            raise IdentityError("nothing is registered")
        algorithm = Algorithm(str(found.data.get("algorithm")))
        return Verifier.from_public(
            algorithm, b64decode(str(found.data.get("public")), validate=True)
        )
