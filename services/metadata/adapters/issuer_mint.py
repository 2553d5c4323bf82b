"""`IssuerMint` on OpenBao's PKI engine: keys are made in OpenBao and never leave it.

Every call finds what an earlier one left: an issuer by its name, a key by its name. A crash
between any two requests costs at most one surplus, unnamed issuer, however often it happens: the
next attempt deletes it, and so does `remove`.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from services.metadata.adapters.pki_engine import ROOT_MOUNT, PkiEngine
from services.metadata.ports import MintedIssuer
from svc_core.crypto.certificates import not_after
from svc_core.domain.profiles import RotationProfile
from svc_core.errors import NotFoundError, RequestRefusedError, SecretStoreError
from svc_core.ports.time import Clock

_CLIENTS: Final = "nats_int"
_ROUTES: Final = "nats_route"
_MOUNTS: Final = (_CLIENTS, _ROUTES)
_MARGIN: Final = timedelta(seconds=1)
_LEAST_LIFE: Final = timedelta(seconds=10)


class OpenBaoIssuerMint:
    """Makes and removes one intermediate per mount under the same name."""

    def __init__(self, pki: PkiEngine, profile: RotationProfile, clock: Clock) -> None:
        self._pki = pki
        self._profile = profile
        self._clock = clock

    async def mint(self, name: str, root: str) -> MintedIssuer:
        """Make both issuers called ``name``, signed by ``root``, or find what is made already."""
        pem = await self._issuer(_CLIENTS, name, root)
        route_pem = await self._issuer(_ROUTES, name, root)
        return MintedIssuer(pem, route_pem, min(_end(pem), _end(route_pem)))

    async def silence(self, name: str) -> None:
        """Take the right to sign from both issuers called ``name``; no error when they are gone."""
        for mount in _MOUNTS:
            if await self._pki.read(f"{mount}/issuer/{name}") is not None:
                await self._pki.write(f"{mount}/issuer/{name}", _facts(name, usage="read-only"))

    async def remove(self, name: str) -> None:
        """Delete issuers and keys called ``name``; no error when they are gone."""
        for mount in _MOUNTS:
            key_id = await self._key_id(mount, name)
            await self._delete_issuers(mount, name, key_id)
            if key_id:
                await self._pki.delete(f"{mount}/key/{key_id}")

    async def _issuer(self, mount: str, name: str, root: str) -> str:
        found = await self._pki.read(f"{mount}/issuer/{name}")
        if found is None:
            csr = await self._request(mount, name)
            signed = await self._sign(name, csr, root)
            await self._import(mount, name, signed)
            found = await self._pki.read(f"{mount}/issuer/{name}")
        if found is None:
            raise SecretStoreError(f"issuer {name} is missing right after its import")
        return str(found["certificate"]).strip() + "\n"

    async def _request(self, mount: str, name: str) -> str:
        body = {"common_name": f"SecureTransport {name}", "key_name": name}
        generated = {**body, "key_type": "ec", "key_bits": 256}
        try:
            path = f"{mount}/intermediate/generate/internal"
            return str((await self._pki.write(path, generated))["csr"])
        except RequestRefusedError:
            # The key is there already: an earlier attempt ended after making it, perhaps as late
            # as between import and name. What it imported would be one more with every attempt.
            await self._delete_issuers(mount, name, await self._key_id(mount, name))
            existing = {"common_name": body["common_name"], "key_ref": name}
            path = f"{mount}/issuers/generate/intermediate/existing"
            return str((await self._pki.write(path, existing))["csr"])

    async def _sign(self, name: str, csr: str, root: str) -> str:
        answer = await self._pki.write(
            f"{ROOT_MOUNT}/issuer/{root}/sign-intermediate",
            {
                "csr": csr,
                "common_name": f"SecureTransport {name}",
                "ttl": f"{await self._life_s(root)}s",
                "not_before_duration": f"{int(self._profile.backdate.total_seconds())}s",
                "max_path_length": 0,
            },
        )
        return str(answer["certificate"])

    async def _life_s(self, root: str) -> int:
        """Return the life of an issuer in seconds; OpenBao would let it outlive ``root``."""
        found = await self._pki.read(f"{ROOT_MOUNT}/issuer/{root}")
        if found is None:
            raise NotFoundError(f"OpenBao has no root called {root}")
        left = not_after(str(found["certificate"])) - self._clock.now()
        if left < _LEAST_LIFE:
            raise NotFoundError(f"the life of {root} is over")
        return int(min(self._profile.ca.validity, left - _MARGIN).total_seconds())

    async def _import(self, mount: str, name: str, certificate: str) -> None:
        imported = await self._pki.write(
            f"{mount}/intermediate/set-signed", {"certificate": certificate}
        )
        issuers = imported.get("imported_issuers") or imported.get("existing_issuers") or []
        if len(issuers) != 1:
            raise SecretStoreError(f"the import of {name} made {len(issuers)} issuers, want 1")
        await self._pki.write(
            f"{mount}/issuer/{issuers[0]}",
            _facts(name, usage="read-only,issuing-certificates"),
        )

    async def _delete_issuers(self, mount: str, name: str, key_id: str) -> None:
        for issuer in await self._issuers_of(mount, name, key_id):
            await self._pki.delete(f"{mount}/issuer/{issuer}")

    async def _issuers_of(self, mount: str, name: str, key_id: str) -> list[str]:
        listed = await self._pki.list(f"{mount}/issuers")
        info: dict[str, Any] = (listed or {}).get("key_info") or {}
        matching = []
        for issuer_id, facts in info.items():
            if facts.get("issuer_name") == name:
                matching.append(issuer_id)
            elif not facts.get("issuer_name") and key_id:
                details = await self._pki.read(f"{mount}/issuer/{issuer_id}")
                if details is not None and details.get("key_id") == key_id:
                    matching.append(issuer_id)
        return matching

    async def _key_id(self, mount: str, name: str) -> str:
        found = await self._pki.read(f"{mount}/key/{name}")
        return str(found["key_id"]) if found else ""


def _facts(name: str, *, usage: str) -> dict[str, Any]:
    # Whatever is left out of an update is set back to its default.
    return {"issuer_name": name, "leaf_not_after_behavior": "err", "usage": usage}


def _end(pem: str) -> datetime:
    return not_after(pem)
