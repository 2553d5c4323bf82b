"""Registering this instance's public identity where others look it up: once, never overwritten."""

import asyncio
from base64 import b64encode
from typing import Final

import structlog

from svc_core.crypto.signing import Algorithm
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import identity_path
from svc_core.errors import IdentityError, StaleWriteError
from svc_core.flows.statements import Author
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings

log = structlog.get_logger()

_CHECK_S: Final = 5.0


class Registration:
    """The loop that makes sure the registered key is the one this instance signs with."""

    name: Final = "registration"

    def __init__(
        self,
        store: SecretStore,
        service: ServiceName,
        instance: InstanceName,
        author: Author,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._path = identity_path(service, instance)
        self._author = author
        self._clock = around.clock
        self._health = around.health
        self._is_registered = False

    async def run(self) -> None:
        """Register once, then keep saying that it is done; for ever."""
        while True:
            if not self._is_registered:
                await self._register()
                self._is_registered = True
                log.info("identity.registered", path=self._path)
            self._health.beat(self.name)
            await asyncio.sleep(_CHECK_S)

    async def _register(self) -> None:
        public = b64encode(self._author.public).decode()
        found = await self._store.fetch(self._path)
        if found is None:
            try:
                await self._store.store(
                    self._path,
                    {
                        "algorithm": Algorithm.ML_DSA_87.value,
                        "public": public,
                        "created_at": self._clock.now().isoformat(),
                    },
                    expected_version=0,
                )
            except StaleWriteError:
                found = await self._store.fetch(self._path)
        if found is not None and found.data.get("public") != public:
            raise IdentityError(
                f"{self._path} is registered with another key; "
                "give this instance another name or restore its state directory"
            )
