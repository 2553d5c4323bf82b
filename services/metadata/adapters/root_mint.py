"""`RootMint` on OpenBao's PKI engine: the key of a root is made in OpenBao and never leaves it.

Like `issuer_mint`, every call finds what an earlier one left: a root by its name, a key by its
name. A crash between any two requests leaves nothing that the repeat does not find.
"""

from typing import Any

from services.metadata.adapters.pki_engine import ROOT_MOUNT, PkiEngine
from services.metadata.ports import MintedRoot
from svc_core.crypto.certificates import fingerprint, not_after
from svc_core.domain.profiles import RotationProfile
from svc_core.errors import NotFoundError, RequestRefusedError


class OpenBaoRootMint:
    """Makes and removes roots, each by its name."""

    def __init__(self, pki: PkiEngine, profile: RotationProfile) -> None:
        self._pki = pki
        self._profile = profile

    async def fetch(self, name: str) -> MintedRoot:
        """Return the root called ``name``; raise `NotFoundError` when there is none."""
        found = await self._read(name)
        if found is None:
            raise NotFoundError(f"OpenBao has no root called {name}")
        return _minted(found)

    async def make(self, name: str) -> MintedRoot:
        """Make a root called ``name``, or find what an earlier attempt made."""
        if await self._read(name) is None:
            body = self._wanted(name)
            key = {"key_name": name, "key_type": "ec", "key_bits": 256}
            path = f"{ROOT_MOUNT}/issuers/generate/root"
            try:
                await self._pki.write(f"{path}/internal", body | key)
            except RequestRefusedError:
                # The key is there already: an earlier attempt ended after making it.
                await self._pki.write(f"{path}/existing", body | {"key_ref": name})
        return await self.fetch(name)

    async def remove(self, name: str, key: str) -> None:
        """Delete the root called ``name``, then its key; no error when they are gone."""
        # In this order: OpenBao keeps a key that a certificate of its own is for.
        if await self._read(name) is not None:
            await self._pki.delete(f"{ROOT_MOUNT}/issuer/{name}")
        if await self._pki.read(f"{ROOT_MOUNT}/key/{key}") is not None:
            await self._pki.delete(f"{ROOT_MOUNT}/key/{key}")

    async def _read(self, name: str) -> dict[str, Any] | None:
        return await self._pki.read(f"{ROOT_MOUNT}/issuer/{name}")

    def _wanted(self, name: str) -> dict[str, Any]:
        return {
            "issuer_name": name,
            "common_name": f"SecureTransport {name}",
            "ttl": f"{int(self._profile.root_validity.total_seconds())}s",
            "not_before_duration": f"{int(self._profile.backdate.total_seconds())}s",
            "max_path_length": 1,
        }


def _minted(found: dict[str, Any]) -> MintedRoot:
    pem = str(found["certificate"]).strip() + "\n"
    return MintedRoot(pem, str(found["key_id"]), fingerprint(pem), not_after(pem))
