"""OpenBao, set up, and a NATS cluster whose certificates were issued through its real roles.

No service takes part: what Metadata and Watcher would do is done here under their own AppRoles,
so that it also proves that their policies suffice.
"""

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from devstack.bootstrap import log_in
from devstack.endpoints import Endpoints, plan_endpoints, write_endpoints
from devstack.identities import ensure_pinned_identities
from devstack.layout import Layout
from devstack.nats_nodes import prepare_nodes, start_nodes
from devstack.openbao import OpenBaoServer
from devstack.openbao_api import OpenBaoApi, open_openbao_api
from devstack.processes import Supervisor, open_supervisor
from devstack.registry import Registry, stack_lock
from devstack.stack import boot_openbao
from svc_core.adapters.files import publish_directory
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import NatsSettings, OpenBaoSettings
from svc_core.crypto.certificates import certificate_request, new_leaf_key, not_after, not_before
from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    CANARY,
    GATEKEEPER,
    METADATA,
    NATS_ROUTE,
    NATS_SERVER,
    OPERATOR,
    WATCHER,
    WATCHER_SYS,
    Deployment,
    ServiceName,
)
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.profiles import PROFILES
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.domain.tls import TlsMaterial

ISSUER: Final = "ca-1-1"
PROFILE: Final = PROFILES["testing"]
DEPLOYMENT: Final = Deployment()
GRANTS: Final[Mapping[ServiceName, TopicGrant]] = {
    METADATA: TopicGrant((), ()),
    WATCHER: TopicGrant((), ()),
    GATEKEEPER: TopicGrant((AUTH_REQUEST,), (RESPONDER,)),
    AUTHCONTROLLER: TopicGrant((RESPONDER,), (AUTH_REQUEST,)),
}
SIGNERS: Final = {
    METADATA: METADATA,
    WATCHER: WATCHER,
    GATEKEEPER: GATEKEEPER,
    AUTHCONTROLLER: AUTHCONTROLLER,
    WATCHER_SYS: WATCHER,
    CANARY: WATCHER,
    OPERATOR: OPERATOR,
}
"""Which AppRole signs the leaf of which NATS user."""

_TTL: Final = timedelta(minutes=20)
_LIFE: Final = timedelta(minutes=80)


@dataclass(frozen=True, slots=True)
class ReachableOpenBao:
    """A bootstrapped OpenBao, whoever runs it, reachable from any loop."""

    layout: Layout
    endpoints: Endpoints

    def settings(self, role: str) -> OpenBaoSettings:
        """Return the settings with which ``role`` logs in."""
        return OpenBaoSettings(
            url=self.endpoints.openbao.url,
            ca_file=self.layout.openbao_ca,
            role_id_file=self.layout.role_id(role),
            secret_id_file=self.layout.secret_id(role),
        )

    @asynccontextmanager
    async def api(self) -> AsyncIterator[OpenBaoApi]:
        """Yield the API without a token."""
        async with open_openbao_api(self.endpoints.openbao.url, self.layout.openbao_ca) as api:
            yield api

    @asynccontextmanager
    async def logged_in(self, role: str) -> AsyncIterator[OpenBaoApi]:
        """Yield the API under a fresh token of ``role``."""
        async with self.api() as api:
            session = await log_in(api, self.layout, role)
            yield session
            await session.write("auth/token/revoke-self")


@dataclass(frozen=True, slots=True)
class RunningOpenBao(ReachableOpenBao):
    """The same, run here."""

    server: OpenBaoServer
    supervisor: Supervisor


@asynccontextmanager
async def open_bare_openbao(root: Path, *, replicas: int = 1) -> AsyncIterator[RunningOpenBao]:
    """Start and set up one OpenBao in ``root``, for so many processes of Metadata."""
    layout = Layout.at(root)
    with stack_lock(layout):
        endpoints = plan_endpoints(layout, profile=PROFILE.name, base_port=None, replicas=replicas)
        write_endpoints(layout.endpoints_file, endpoints)
        async with (
            open_supervisor(
                Registry(layout.stack_file), keep=False, announce=lambda _: None
            ) as supervisor,
            AsyncExitStack() as resources,
        ):
            ensure_pinned_identities(layout, replicas=replicas)
            server = await boot_openbao(layout, endpoints, supervisor, resources, lambda _: None)
            yield RunningOpenBao(layout, endpoints, server, supervisor)


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """Three NATS nodes with accounts, and a certificate for every user."""

    endpoints: Endpoints
    materials: Mapping[str, TlsMaterial]
    """By NATS user: the services, ``watcher-sys`` and ``canary``."""

    @property
    def settings(self) -> NatsSettings:
        """Settings that reach the cluster."""
        return NatsSettings(servers=tuple(node.url for node in self.endpoints.nats))

    def context(self, account: str) -> ssl.SSLContext:
        """Return a client context with the certificate of ``account``."""
        return client_context(self.materials[account])


@asynccontextmanager
async def open_bare_cluster(openbao: RunningOpenBao) -> AsyncIterator[RunningCluster]:
    """Issue everything through OpenBao and start three NATS nodes beside it."""
    layout, nodes = openbao.layout, openbao.endpoints.nats
    prepare_nodes(layout, nodes, DEPLOYMENT)
    trust = await write_live_material(openbao)
    materials: dict[str, TlsMaterial] = {}
    for account, role in SIGNERS.items():
        async with openbao.logged_in(role) as session:
            materials[account] = await issue_client(session, account, trust)
    async with open_supervisor(
        Registry(layout.root / "cluster.json"), keep=False, announce=lambda _: None
    ) as supervisor:
        await start_nodes(supervisor, layout, nodes, live_within=timedelta(seconds=5))
        yield RunningCluster(openbao.endpoints, materials)


async def write_live_material(openbao: ReachableOpenBao) -> str:
    """Do what Metadata and Watcher do before NATS can start; return the trusted intermediate."""
    async with openbao.logged_in(METADATA) as metadata:
        trust = await make_intermediate(metadata, "nats_int", ISSUER)
        route_trust = await make_intermediate(metadata, "nats_route", ISSUER)
    accounts = render_accounts(GRANTS, DEPLOYMENT).encode()
    async with openbao.logged_in(WATCHER) as watcher:
        for node in openbao.endpoints.nats:
            server = await issue_server(watcher, node.name, trust)
            route = await issue_route(watcher, node.name, route_trust)
            files = {
                "ca.pem": trust.encode(),
                "route-ca.pem": route_trust.encode(),
                "server.pem": server.chain_pem.encode(),
                "server-key.pem": server.key_pem.reveal(),
                "route.pem": route.chain_pem.encode(),
                "route-key.pem": route.key_pem.reveal(),
                "accounts.conf": accounts,
            }
            publish_directory(Path(node.live_dir), files)
    return trust


async def make_intermediate(metadata: OpenBaoApi, mount: str, name: str) -> str:
    """Make an intermediate called ``name`` under Metadata's token; return its certificate."""
    body = {"key_type": "ec", "key_bits": 256, "key_name": name, "common_name": name}
    request = await metadata.write(f"{mount}/intermediate/generate/internal", body)
    signed = await metadata.write(
        "pki/issuer/root/sign-intermediate",
        {
            "csr": request["data"]["csr"],
            "common_name": name,
            "ttl": f"{int(_LIFE.total_seconds())}s",
            "max_path_length": 0,
            "not_before_duration": f"{int(PROFILE.backdate.total_seconds())}s",
        },
    )
    pem = str(signed["data"]["certificate"]).strip() + "\n"
    imported = await metadata.write(f"{mount}/intermediate/set-signed", {"certificate": pem})
    await metadata.write(
        f"{mount}/issuer/{imported['data']['imported_issuers'][0]}",
        {"issuer_name": name, "leaf_not_after_behavior": "err"},
    )
    return pem


async def issue_client(session: OpenBaoApi, account: str, trust: str) -> TlsMaterial:
    """Issue the client certificate of one NATS user."""
    uri = DEPLOYMENT.spiffe_id(account)
    return await _issue(
        session,
        f"nats_int/issuer/{ISSUER}/sign/{account}",
        trust,
        lambda key: certificate_request(key, uris=[uri]),
    )


async def issue_server(watcher: OpenBaoApi, node: str, trust: str) -> TlsMaterial:
    """Issue the certificate a NATS node shows to clients."""
    return await _issue(
        watcher,
        f"nats_int/issuer/{ISSUER}/sign/{NATS_SERVER}",
        trust,
        lambda key: certificate_request(key, dns=[node, "localhost"], ips=["127.0.0.1"]),
    )


async def issue_route(watcher: OpenBaoApi, node: str, trust: str) -> TlsMaterial:
    """Issue the certificate a NATS node shows to its peers."""
    uri = DEPLOYMENT.spiffe_id(NATS_ROUTE)
    return await _issue(
        watcher,
        f"nats_route/issuer/{ISSUER}/sign/{NATS_ROUTE}",
        trust,
        lambda key: certificate_request(key, uris=[uri], dns=[node], ips=["127.0.0.1"]),
    )


async def _issue(
    session: OpenBaoApi, path: str, trust: str, request: Callable[[SecretBytes], str]
) -> TlsMaterial:
    key = new_leaf_key(os.urandom)
    body = {"csr": request(key), "ttl": f"{int(_TTL.total_seconds())}s"}
    answer = await session.write(path, body)
    leaf = str(answer["data"]["certificate"]).strip() + "\n"
    return TlsMaterial(
        chain_pem=leaf + trust,
        key_pem=key,
        trust_pem=trust,
        issuer=ISSUER,
        not_before=not_before(leaf),
        not_after=not_after(leaf),
        issued_at=datetime.now(UTC),
    )
