"""The local stack as one context manager, and the order in which it boots.

OpenBao comes first and needs nothing; Metadata makes an issuer and says what is wanted, without
NATS; Watcher turns that into certificates and files; only then can the NATS nodes start, and after
them the services that talk over them. Every wait is bounded and says who kept it waiting.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.admin import AdminAnswer, fetch_admin
from devstack.bootstrap import bootstrap
from devstack.bootstrap_spec import bootstrap_spec
from devstack.children import Program
from devstack.conditions import wait_until
from devstack.endpoints import Endpoints, plan_endpoints, write_endpoints
from devstack.errors import ServiceUnreachableError
from devstack.guests import Guest
from devstack.identities import ensure_pinned_identities
from devstack.layout import SERVICES, Layout, metadata_replicas
from devstack.nats_nodes import prepare_nodes, start_nodes
from devstack.openbao import OpenBaoServer
from devstack.openbao_api import open_openbao_api
from devstack.preflight import check_start, disk_errors_explained, provide_manifest
from devstack.processes import Announce, Supervisor, open_supervisor
from devstack.registry import Registry, stack_lock
from devstack.services import RunService, ServicePlan, run_service, start_service
from devstack.takedown import end_leftovers
from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import METADATA, WATCHER, Deployment
from svc_core.domain.profiles import PROFILES
from svc_core.domain.subjects import MOST_STREAM_BYTES

_LIVE_WITHIN: Final = timedelta(seconds=60)
_READY_WITHIN: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start, and where."""

    root: Path
    """Everything of the stack is kept here; made if absent."""
    profile: str
    """Rotation profile of all services."""
    replicas: int = 3
    """Replicas of every stream, 1 to 3."""
    base_port: int | None = None
    """First of twelve consecutive ports, and one for each further replica; without it free ones
    are chosen and remembered."""
    keep: bool = False
    """Leave everything running when the context ends well."""
    services: tuple[str, ...] = SERVICES
    """Services to start; without Watcher somebody else must write the nodes' live material."""
    metadata_replicas: int = 1
    """Processes of Metadata; the further ones are children called ``metadata-2`` and so on."""
    run: RunService = run_service
    """What runs a service."""
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    """What NATS servers trust and issuers must show (ADR-0021)."""
    longest_pause: timedelta = timedelta(seconds=5)
    """Most that is waited before a service that dies again and again is started again."""
    stream_bytes: int = MOST_STREAM_BYTES
    """Bytes that a stream of messages holds; see Metadata's setting."""
    guests: tuple[Guest, ...] = ()
    """Parties beside the system's own; `Stack.start` runs what they do."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every child that is a service, or a further replica of one."""
        more = metadata_replicas(self.metadata_replicas)[1:] if METADATA in self.services else ()
        return (*self.services, *more)


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child as the stack sees it now."""

    name: str
    pid: int
    is_running: bool
    restarts: int
    last_exit: int | None
    """Exit code of its last death (negative: a signal), None if it never died."""


class Stack:
    """A running local stack."""

    def __init__(
        self, options: StackOptions, layout: Layout, endpoints: Endpoints, supervisor: Supervisor
    ) -> None:
        self.options = options
        self.layout = layout
        self.endpoints = endpoints
        self._supervisor = supervisor

    @property
    def children(self) -> tuple[ChildStatus, ...]:
        """Every child in order of its start."""
        return tuple(
            ChildStatus(name, c.pid, c.is_running, c.restarts, c.last_exit)
            for name, c in self._supervisor.children.items()
        )

    async def admin_get(self, service: str, path: str) -> AdminAnswer:
        """GET ``path`` of one service's admin listener.

        Raises:
            ServiceUnreachableError: no answer from it.
        """
        return await fetch_admin(self.layout, service, path)

    async def is_ready(self, service: str) -> bool:
        """Say whether one service, or one further replica, answers 200 at ``/readyz`` now."""
        try:
            return (await self.admin_get(service, "/readyz")).is_ok
        except ServiceUnreachableError:
            return False

    def kill(self, name: str, number: int) -> None:
        """Send a signal to one child by name; one that dies of it is restarted.

        Raises:
            KeyError: there is no such child.
        """
        self._supervisor.kill(name, number)

    def start(self, program: Program) -> None:
        """Run one more program as a child of the stack, which ends with it.

        Raises:
            OSError: it could not be started.
        """
        self._supervisor.start(program)


@asynccontextmanager
async def open_stack(
    options: StackOptions, on_progress: Callable[[str], None]
) -> AsyncIterator[Stack]:
    """Boot a stack, yield it when everything is ready, end all of it within ten seconds.

    An error or a cancellation ends it too, also in the middle of the boot, kept or not.

    Args:
        options: what to start, and where.
        on_progress: told in a sentence what happens.

    Raises:
        ConfigError: it cannot start as asked (see `devstack.errors`).
        StackStartError: a part did not become ready in time.
    """
    layout = Layout.at(options.root)
    check_start(layout, profile=options.profile, services=options.services)
    with stack_lock(layout):
        await end_leftovers(layout, on_progress)
        endpoints = plan_endpoints(
            layout,
            profile=options.profile,
            base_port=options.base_port,
            replicas=options.metadata_replicas,
        )
        async with (
            # Outlives the supervisor, which may be unsealing OpenBao until it stops.
            AsyncExitStack() as resources,
            open_supervisor(
                Registry(layout.stack_file), keep=options.keep, announce=on_progress
            ) as supervisor,
        ):
            stack = Stack(options, layout, endpoints, supervisor)
            with disk_errors_explained(layout):
                write_endpoints(layout.endpoints_file, endpoints)
                await _boot(stack, supervisor, resources, on_progress)
            yield stack


async def _boot(
    stack: Stack, supervisor: Supervisor, resources: AsyncExitStack, announce: Announce
) -> None:
    layout, endpoints, options = stack.layout, stack.endpoints, stack.options
    deployment = Deployment()
    provide_manifest(layout)
    ensure_pinned_identities(layout, replicas=options.metadata_replicas)
    prepare_nodes(layout, endpoints.nats, deployment, options.guests)
    await boot_openbao(layout, endpoints, supervisor, resources, announce, guests=options.guests)
    plan = ServicePlan(
        layout,
        endpoints,
        deployment,
        options.replicas,
        options.run,
        options.longest_pause,
        options.trust_mode,
        options.stream_bytes,
    )
    early = [name for name in (METADATA, WATCHER) if name in options.services]
    if early:
        announce(f"starting {' and '.join(early)}")
    writers = [start_service(supervisor, plan, name) for name in early]
    await start_nodes(supervisor, layout, endpoints.nats, live_within=_LIVE_WITHIN, writers=writers)
    announce("NATS listens")
    for name in options.wanted:
        if name not in early:
            start_service(supervisor, plan, name)
    await _wait_until_ready(stack, supervisor, announce)


async def boot_openbao(
    layout: Layout,
    endpoints: Endpoints,
    supervisor: Supervisor,
    resources: AsyncExitStack,
    announce: Announce,
    *,
    guests: tuple[Guest, ...] = (),
) -> OpenBaoServer:
    """Start OpenBao and set it up.

    Args:
        layout: where it lives.
        endpoints: where it listens.
        supervisor: watches over it.
        resources: keeps its API session open as long as it may have to be unsealed again.
        announce: told what happens.
        guests: parties beside the system's own.

    Raises:
        StackStartError: it did not become usable.
    """
    server = OpenBaoServer(layout, endpoints, supervisor)
    server.prepare()
    api = await resources.enter_async_context(
        open_openbao_api(endpoints.openbao.url, layout.openbao_ca)
    )
    announce("starting OpenBao")
    initial_token = await server.start(api)
    spec = bootstrap_spec(PROFILES[endpoints.profile], Deployment(), guests)
    more = tuple(name for name in endpoints.admin if name not in SERVICES)
    if await bootstrap(server, api, layout, spec, initial_token, more=more):
        announce("OpenBao is set up")
    supervisor.attend(server.keep_audit_file_small())
    return server


async def _wait_until_ready(stack: Stack, supervisor: Supervisor, announce: Announce) -> None:
    waiting = list(stack.options.wanted)

    async def all_are_ready() -> bool:
        for name in tuple(waiting):
            if await stack.is_ready(name):
                waiting.remove(name)
                announce(f"{name} is ready")
        return not waiting

    def part() -> str:
        return ", ".join(waiting)

    involved = [supervisor.children[name] for name in waiting]
    await wait_until(all_are_ready, within=_READY_WITHIN, part=part, involved=involved)
