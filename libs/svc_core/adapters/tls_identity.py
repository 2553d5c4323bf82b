"""`TlsSlot`: one identity's material as a live context and as files behind one symlink."""

import asyncio
import ssl
from pathlib import Path

from svc_core.adapters.files import publish_directory
from svc_core.adapters.tls_contexts import ContextBuilder, HotContext
from svc_core.crypto.certificates import check_material
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import TlsMaterialError
from svc_core.ports.time import Clock


class TlsIdentity:
    """The current material of one identity; a new one is adopted whole or not at all."""

    def __init__(
        self, clock: Clock, build: ContextBuilder, *, server: bool, link: Path | None = None
    ) -> None:
        """Start empty.

        Args:
            build: makes a context from material.
            server: whether the certificate is for a server.
            link: symlink to the directory with ``cert.pem`` and ``key.pem``; None: not on disk.
        """
        self._clock = clock
        self._build = build
        self._server = server
        self._link = link
        self._material: TlsMaterial | None = None
        self._context: ssl.SSLContext | None = None
        self._hot: HotContext | None = None
        self._adopted = asyncio.Event()

    @property
    def material(self) -> TlsMaterial | None:
        """What is in use."""
        return self._material

    @property
    def context(self) -> ssl.SSLContext:
        """The context of the material in use; a new object after every `adopt`.

        Raises:
            TlsMaterialError: nothing was adopted yet.
        """
        if self._context is None:
            raise TlsMaterialError("no certificate yet")
        return self._context

    async def hot_context(self) -> HotContext:
        """Wait for the first `adopt`; return one permanent context that follows every later one."""
        await self._adopted.wait()
        if self._hot is None:
            self._hot = HotContext(self.context)
        return self._hot

    async def adopt(self, material: TlsMaterial) -> None:
        """Check ``material``, build its context off the loop, publish it, then use it."""
        context = await asyncio.to_thread(self._prepare, material)
        self._material, self._context = material, context
        if self._hot is not None:
            self._hot.adopt(context)
        self._adopted.set()

    def _prepare(self, material: TlsMaterial) -> ssl.SSLContext:
        check_material(
            material.chain_pem,
            material.key_pem,
            material.trust_pem,
            now=self._clock.now(),
            server=self._server,
        )
        context = self._build(material)
        is_new_leaf = self._material is None or self._material.chain_pem != material.chain_pem
        if self._link is not None and is_new_leaf:
            publish_directory(
                self._link,
                {"cert.pem": material.chain_pem.encode(), "key.pem": material.key_pem.reveal()},
            )
        return context
