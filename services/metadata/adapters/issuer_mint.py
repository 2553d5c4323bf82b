"""`IssuerMint` on OpenBao's PKI engine: keys are made in OpenBao and never leave it.

Every call finds what an earlier one left: an issuer by its name, a key by its name. A crash
between any two requests costs at most one surplus, unnamed issuer, which `remove` deletes too.
"""

from datetime import datetime
from typing import Any, Final

from services.metadata.ports import MintedIssuer
from svc_core.adapters.openbao import OpenBaoSession
from svc_core.crypto.certificates import not_after
from svc_core.domain.profiles import RotationProfile
from svc_core.errors import NotFoundError, RequestRefusedError, SecretStoreError

_ROOT: Final = "pki"
_CLIENTS: Final = "nats_int"
_ROUTES: Final = "nats_route"
_MOUNTS: Final = (_CLIENTS, _ROUTES)


class OpenBaoIssuerMint:
    """Makes and removes one intermediate per mount under the same name."""

    def __init__(self, session: OpenBaoSession, profile: RotationProfile) -> None:
        self._session = session
        self._profile = profile

    async def mint(self, name: str) -> MintedIssuer:
        """Make both issuers called ``name``, or find what an earlier attempt made."""
        pem = await self._issuer(_CLIENTS, name)
        route_pem = await self._issuer(_ROUTES, name)
        return MintedIssuer(pem, route_pem, min(_end(pem), _end(route_pem)))

    async def silence(self, name: str) -> None:
        """Take the right to sign from both issuers called ``name``; no error when they are gone."""
        for mount in _MOUNTS:
            if await self._read(f"{mount}/issuer/{name}") is not None:
                await self._write(f"{mount}/issuer/{name}", _facts(name, usage="read-only"))

    async def remove(self, name: str) -> None:
        """Delete issuers and keys called ``name``; no error when they are gone."""
        for mount in _MOUNTS:
            key_id = await self._key_id(mount, name)
            for issuer in await self._issuers_of(mount, name, key_id):
                await self._delete(f"{mount}/issuer/{issuer}")
            if key_id:
                await self._delete(f"{mount}/key/{key_id}")

    async def fetch_root(self) -> str:
        """Return the root certificate as PEM."""
        answer = await self._session.call(lambda c: c.read(f"{_ROOT}/cert/ca"), idempotent=True)
        if answer is None:
            raise NotFoundError("OpenBao has no root CA")
        return str(answer["data"]["certificate"]).strip() + "\n"

    async def _issuer(self, mount: str, name: str) -> str:
        found = await self._read(f"{mount}/issuer/{name}")
        if found is None:
            csr = await self._request(mount, name)
            signed = await self._sign(name, csr)
            await self._import(mount, name, signed)
            found = await self._read(f"{mount}/issuer/{name}")
        if found is None:
            raise SecretStoreError(f"issuer {name} is missing right after its import")
        return str(found["certificate"]).strip() + "\n"

    async def _request(self, mount: str, name: str) -> str:
        body = {"common_name": f"SecureTransport {name}", "key_name": name}
        generated = {**body, "key_type": "ec", "key_bits": 256}
        try:
            return str(
                (await self._write(f"{mount}/intermediate/generate/internal", generated))["csr"]
            )
        except RequestRefusedError:
            # The key is there already: an earlier attempt ended after making it.
            existing = {"common_name": body["common_name"], "key_ref": name}
            path = f"{mount}/issuers/generate/intermediate/existing"
            return str((await self._write(path, existing))["csr"])

    async def _sign(self, name: str, csr: str) -> str:
        answer = await self._write(
            f"{_ROOT}/root/sign-intermediate",
            {
                "csr": csr,
                "common_name": f"SecureTransport {name}",
                "ttl": f"{int(self._profile.ca.validity.total_seconds())}s",
                "not_before_duration": f"{int(self._profile.backdate.total_seconds())}s",
                "max_path_length": 0,
            },
        )
        return str(answer["certificate"])

    async def _import(self, mount: str, name: str, certificate: str) -> None:
        imported = await self._write(
            f"{mount}/intermediate/set-signed", {"certificate": certificate}
        )
        issuers = imported.get("imported_issuers") or imported.get("existing_issuers") or []
        if len(issuers) != 1:
            raise SecretStoreError(f"the import of {name} made {len(issuers)} issuers, want 1")
        await self._write(
            f"{mount}/issuer/{issuers[0]}",
            _facts(name, usage="read-only,issuing-certificates"),
        )

    async def _issuers_of(self, mount: str, name: str, key_id: str) -> list[str]:
        listed = await self._list(f"{mount}/issuers")
        info: dict[str, Any] = (listed or {}).get("key_info") or {}
        matching = []
        for issuer_id, facts in info.items():
            if facts.get("issuer_name") == name:
                matching.append(issuer_id)
            elif not facts.get("issuer_name") and key_id:
                details = await self._read(f"{mount}/issuer/{issuer_id}")
                if details is not None and details.get("key_id") == key_id:
                    matching.append(issuer_id)
        return matching

    async def _key_id(self, mount: str, name: str) -> str:
        found = await self._read(f"{mount}/key/{name}")
        return str(found["key_id"]) if found else ""

    async def _read(self, path: str) -> dict[str, Any] | None:
        try:
            answer = await self._session.call(lambda c: c.read(path), idempotent=True)
        except NotFoundError:
            return None
        except RequestRefusedError as err:
            if "unable to find" in str(err):
                return None
            raise
        return answer["data"] if answer else None

    async def _list(self, path: str) -> dict[str, Any] | None:
        try:
            answer = await self._session.call(lambda c: c.list(path), idempotent=True)
        except NotFoundError:
            return None
        return answer["data"] if answer else None

    async def _write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._session.call(lambda c: c.write_data(path, data=body))
        return answer["data"] if answer else {}

    async def _delete(self, path: str) -> None:
        try:
            await self._session.call(lambda c: c.delete(path), idempotent=True)
        except NotFoundError:
            return


def _facts(name: str, *, usage: str) -> dict[str, Any]:
    # Whatever is left out of an update is set back to its default.
    return {"issuer_name": name, "leaf_not_after_behavior": "err", "usage": usage}


def _end(pem: str) -> datetime:
    return not_after(pem)
