"""Registering this instance's public keys where others look them up: once, never overwritten.

The identity first; then, signed with it, the key that bundles at rest are sealed to.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import identity_path, kem_path
from svc_core.errors import (
    AccessDeniedError,
    ConfigError,
    IdentityError,
    MalformedMessageError,
    StaleWriteError,
)
from svc_core.flows.statements import Author
from svc_core.ports.secret_store import Document, SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import documents, instance_kem
from svc_core.wire.instance_kem import InstanceKem

log = structlog.get_logger()

_CHECK_S: Final = 5.0


class Registration:
    """The loop that makes sure the registered keys are those of this instance."""

    name: Final = "registration"

    def __init__(
        self,
        store: SecretStore,
        service: ServiceName,
        instance: InstanceName,
        author: Author,
        around: Surroundings,
        kem_public: bytes = b"",
    ) -> None:
        """Prepare the loop.

        Args:
            store: where both are registered.
            service: whose instance this is.
            instance: its name.
            author: its identity.
            around: clock and health.
            kem_public: its ML-KEM-1024 key, 1,568 bytes; empty for one that needs no bundles.
        """
        self._store = store
        self._service = service
        self._instance = instance
        self._kem_public = kem_public
        self._path = identity_path(service, instance)
        self._author = author
        self._clock = around.clock
        self._health = around.health
        self._is_registered = False
        self._is_kem_settled = not kem_public
        self._detail = ""
        self._is_told = False
        self.on_registered: Callable[[], Awaitable[None]] | None = None
        """Awaited once, when everything is registered: what was before is needed no more."""

    async def run(self) -> None:
        """Register once, then keep saying that it is done; for ever."""
        while True:
            if not self._is_registered:
                await self._register()
                self._is_registered = True
                log.info("identity.registered", path=self._path)
            if not self._is_kem_settled:
                await self._settle_kem()
            if self._is_kem_settled and not self._is_told:
                await self._tell()
            self._health.beat(self.name, self._detail)
            await asyncio.sleep(_CHECK_S)

    async def _tell(self) -> None:
        self._is_told = True
        if self.on_registered is None:
            return
        try:
            await self.on_registered()
        except ConfigError as err:
            # Tidying up can wait for the next start; what is registered is in use.
            log.warning("identity.former_kept", code=err.code, reason=str(err))

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

    async def _settle_kem(self) -> None:
        try:
            await self._register_kem()
        except AccessDeniedError as err:
            # Pulls need no registered key, so a policy of an earlier release keeps nobody out.
            if not self._detail:
                log.warning("kem.not_registered", code=err.code, reason=str(err))
            self._detail = "its KEM key may not be registered: no bundle is kept for this instance"
        else:
            self._is_kem_settled = True

    async def _register_kem(self) -> None:
        path = kem_path(self._service, self._instance)
        found = await self._store.fetch(path)
        if found is None:
            kem = InstanceKem(self._service, self._instance, self._kem_public, self._clock.now())
            document = await self._author.sign(
                instance_kem.encode(kem), context=contexts.INSTANCE_KEM
            )
            try:
                await self._store.store(path, documents.encode_entry(document), expected_version=0)
            except StaleWriteError:
                found = await self._store.fetch(path)
        if found is None or _kem_in(found.data) == self._kem_public:
            self._detail = ""
            log.info("kem.registered", path=path)
            return
        # Pulls need no registered key, so whoever wrote it here has only taken one way away.
        self._detail = f"{path} holds another key: no bundle is kept for this instance"
        log.error("kem.taken", path=path)


def _kem_in(entry: Document) -> bytes:
    """Return the key in a registration, whoever made it; none when it is no registration."""
    try:
        return instance_kem.decode(documents.decode_entry(entry).body).public
    except MalformedMessageError:
        return b""
