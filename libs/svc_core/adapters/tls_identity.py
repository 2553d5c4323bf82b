"""`TlsSlot`: one identity's material as a live context and as files behind one symlink."""

import asyncio
import hashlib
import ssl
from datetime import timedelta
from pathlib import Path

from svc_core.adapters.files import publish_directory
from svc_core.adapters.tls_contexts import ContextBuilder, HotContext
from svc_core.adapters.tls_rehearsal import rehearse_client, rehearse_server
from svc_core.crypto.certificates import check_chain, check_material, check_names
from svc_core.domain.tls import LeafNames, TlsHealth, TlsMaterial, TlsState, judge
from svc_core.errors import TlsMaterialError
from svc_core.ports.time import Clock


class TlsIdentity:
    """The current material of one identity; a new one is adopted whole or not at all."""

    def __init__(
        self,
        clock: Clock,
        build: ContextBuilder,
        *,
        server: bool,
        link: Path | None = None,
        names: LeafNames | None = None,
    ) -> None:
        """Start empty.

        Args:
            clock: what validity is compared with.
            build: makes a context from material.
            server: whether the certificate is for a server.
            link: symlink to the directory with ``cert.pem`` and ``key.pem``; None: not on disk.
            names: what the certificate must be for; None: whatever it is for.
        """
        self._clock = clock
        self._build = build
        self._server = server
        self._link = link
        self._names = names
        self._material: TlsMaterial | None = None
        self._context: ssl.SSLContext | None = None
        self._hot: HotContext | None = None
        self._adopted = asyncio.Event()
        self._generation = 0
        self._failures = 0
        self._last_error = ""

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

    @property
    def health(self) -> TlsHealth:
        """How this identity is now; one without material is as bad as expired."""
        now, material = self._clock.now(), self._material
        if material is None:
            return TlsHealth(
                TlsState.EXPIRED,
                timedelta(0),
                failures=self._failures,
                last_error=self._last_error or "no certificate yet",
            )
        return TlsHealth(
            judge(material, now=now, has_failed=bool(self._last_error)),
            material.remaining(now),
            material.issuer,
            self._generation,
            self._failures,
            self._last_error,
        )

    def remaining_s(self) -> float:
        """Return the seconds left of the certificate in use; 0 without one."""
        return self.health.remaining.total_seconds()

    async def hot_context(self) -> HotContext:
        """Wait for the first `adopt`; return one permanent context that follows every later one."""
        await self._adopted.wait()
        if self._hot is None:
            self._hot = HotContext(self.context)
        return self._hot

    async def adopt(self, material: TlsMaterial) -> None:
        """Check ``material``, build its context off the loop, publish it, then use it.

        The same bytes once more change nothing but the time they were issued at.

        Raises:
            TlsMaterialError: it would not stand in a handshake; what was in use stays in use.
        """
        if self._material is None or _digest(material) != _digest(self._material):
            try:
                self._context = await asyncio.to_thread(self._prepare, material)
            except TlsMaterialError as err:
                self._failures += 1
                self._last_error = str(err)
                raise
            self._generation += 1
        self._material, self._last_error = material, ""
        if self._hot is not None:
            self._hot.adopt(self.context)
        self._adopted.set()

    def _prepare(self, material: TlsMaterial) -> ssl.SSLContext:
        check_material(
            material.chain_pem,
            material.key_pem,
            material.trust_pem,
            now=self._clock.now(),
            server=self._server,
        )
        check_chain(material.trust_pem, material.root_pem, now=self._clock.now())
        if self._names is not None:
            check_names(material.chain_pem, self._names)
        context = self._build(material)
        if self._server:
            rehearse_server(context, material, self._names or LeafNames())
        else:
            rehearse_client(material)
        self._publish(material)
        return context

    def _publish(self, material: TlsMaterial) -> None:
        is_new_leaf = self._material is None or self._material.chain_pem != material.chain_pem
        if self._link is not None and is_new_leaf:
            publish_directory(
                self._link,
                {"cert.pem": material.chain_pem.encode(), "key.pem": material.key_pem.reveal()},
            )


def _digest(material: TlsMaterial) -> bytes:
    texts = (material.chain_pem, material.trust_pem, material.root_pem)
    parts = (material.key_pem.reveal(), *(text.encode() for text in texts))
    return hashlib.sha256(b"\0".join(parts)).digest()
