"""The certificates of a stack on this machine: those on its disk, and some fresh ones from OpenBao.

Whoever can read the stack's directory can have them all; nothing is written anywhere.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from console.doctor_cases import Kind, Shown
from console.doctor_probe import Target
from console.doctor_wallet import NotInWalletError, forge, material
from console.stack_commands import running_layout
from devstack.bootstrap import log_in
from devstack.bootstrap_spec import INTERMEDIATE_MOUNT, KV_MOUNT
from devstack.endpoints import Endpoints, port_of, read_endpoints
from devstack.layout import Layout
from devstack.openbao_api import OpenBaoApi, open_openbao_api
from svc_core.adapters.files import read_directory
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto.certificates import certificate_request, names_of, new_leaf_key
from svc_core.domain.identity import GATEKEEPER, OPERATOR
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import DESIRED_PATH
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import ConfigError, SvcError
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents

_BRIEF: Final = timedelta(seconds=1)
_ENOUGH: Final = timedelta(minutes=1)
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LocalWallet:
    """What a client of one kind of listener can show."""

    layout: Layout
    live: Path
    """A NATS server's current files."""
    kind: Kind
    taken: Mapping[Shown, TlsMaterial] = field(default_factory=dict)
    """What OpenBao issued."""
    reasons: Mapping[Shown, str] = field(default_factory=dict)
    """Why something is missing."""

    def trust(self) -> str:
        """Return the trusted intermediates as Watcher published them last."""
        return self.layout.trust_file.read_text()

    def show(self, shown: Shown) -> TlsMaterial:
        """Return a certificate to show, or raise `NotInWalletError`."""
        match shown:
            case Shown.GOOD:
                return self._pair(self.layout.service(GATEKEEPER) / "tls", "cert.pem", "key.pem")
            case Shown.STRANGER if self.kind is Kind.ADMIN:
                return self.show(Shown.GOOD)
            case Shown.SERVER:
                return self._pair(self.live, "server.pem", "server-key.pem")
            case Shown.FOREIGN:
                return forge(self.show(Shown.GOOD), self.trust())
        if shown in self.taken:
            # What is trusted may have changed since it was taken.
            return replace(self.taken[shown], trust_pem=self.trust())
        raise NotInWalletError(self.reasons.get(shown, "a running stack has no such certificate"))

    def _pair(self, link: Path, certificate: str, key: str) -> TlsMaterial:
        found = read_directory(link, (certificate, key))
        if found is None:
            raise NotInWalletError(f"there is no certificate in {link}")
        return material(found[certificate].decode(), SecretBytes(found[key]), self.trust())


async def open_local(root: Path) -> tuple[list[Target], Callable[[Kind], LocalWallet]]:
    """Return the listeners of the stack in ``root`` and what to show to each kind.

    Raises:
        NoStackError: there is none.
    """
    layout = running_layout(root)
    endpoints = read_endpoints(layout)
    if endpoints is None:
        raise ConfigError(f"there is no endpoints.json in {root}")
    targets = [
        Target(name, Kind.ADMIN, _HOST, port_of(url)) for name, url in endpoints.admin.items()
    ]
    targets += [Target(node.name, Kind.NATS, _HOST, port_of(node.url)) for node in endpoints.nats]
    taken, reasons = await _take(layout, endpoints)
    live = Path(endpoints.nats[0].live_dir)

    def wallet(kind: Kind) -> LocalWallet:
        return LocalWallet(layout, live, kind, taken, reasons)

    return targets, wallet


async def _take(
    layout: Layout, endpoints: Endpoints
) -> tuple[dict[Shown, TlsMaterial], dict[Shown, str]]:
    taken: dict[Shown, TlsMaterial] = {}
    reasons: dict[Shown, str] = {}
    for shown, account, ttl in (
        (Shown.EXPIRED, GATEKEEPER, _BRIEF),
        (Shown.READER, OPERATOR, _ENOUGH),
    ):
        try:
            taken[shown] = await _take_one(layout, endpoints, account, ttl)
        except SvcError as err:
            reasons[shown] = f"{account} gets none from OpenBao: {err}"
    if Shown.EXPIRED in taken:
        left = taken[Shown.EXPIRED].remaining(datetime.now(UTC)).total_seconds()
        await asyncio.sleep(max(left, 0) + 0.1)
    return taken, reasons


async def _take_one(
    layout: Layout, endpoints: Endpoints, account: str, ttl: timedelta
) -> TlsMaterial:
    async with open_openbao_api(endpoints.openbao.url, layout.openbao_ca) as api:
        session = await log_in(api, layout, account)
        try:
            return await _issue(session, layout, account, ttl)
        finally:
            await session.write("auth/token/revoke-self")


async def _issue(session: OpenBaoApi, layout: Layout, account: str, ttl: timedelta) -> TlsMaterial:
    entry: Any = (await session.read(f"{KV_MOUNT}/data/{DESIRED_PATH}"))["data"]["data"]
    # Only whose name to ask for: what comes back must stand in a handshake or prove nothing.
    issuer = desired_wire.decode(documents.decode_entry(entry).body).active_issuer
    key = new_leaf_key(system_entropy)
    csr = certificate_request(key, uris=[_spiffe_id(layout, account)])
    answer = await session.write(
        f"{INTERMEDIATE_MOUNT}/issuer/{issuer.name}/sign/{account}",
        {"csr": csr, "ttl": f"{int(ttl.total_seconds())}s"},
    )
    leaf = str(answer["data"]["certificate"]).strip() + "\n"
    return material(leaf + issuer.pem.strip() + "\n", key, layout.trust_file.read_text())


def _spiffe_id(layout: Layout, account: str) -> str:
    """Return the name of ``account`` in this stack, after the pattern of a name that is known."""
    chain = (layout.service(GATEKEEPER) / "tls" / "cert.pem").read_text()
    prefix, _, _ = names_of(chain).uris[0].rpartition("/")
    return f"{prefix}/{account}"
