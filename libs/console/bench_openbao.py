"""OpenBao for a benchmark: set up as for the local stack, in a directory that goes afterwards."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.authority_order import AuthorityOrder
from devstack.endpoints import plan_endpoints, write_endpoints
from devstack.identities import ensure_pinned_identities
from devstack.layout import Layout
from devstack.preflight import provide_manifest
from devstack.processes import open_supervisor
from devstack.registry import Registry, stack_lock
from devstack.stack import boot_openbao
from svc_core.domain.identity import METADATA

_PROFILE: Final = "testing"


@asynccontextmanager
async def open_bench_openbao() -> AsyncIterator[AuthorityOrder]:
    """Start and set up one OpenBao, and yield the order to measure the shipped manifest on it.

    Raises:
        MissingProgramError: OpenBao is not installed.
        StackStartError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="st-bench-") as text:
        layout = Layout.at(Path(text) / "stack")
        with stack_lock(layout):
            endpoints = plan_endpoints(layout, profile=_PROFILE, base_port=None)
            write_endpoints(layout.endpoints_file, endpoints)
            async with (
                open_supervisor(
                    Registry(layout.stack_file), keep=False, announce=lambda _: None
                ) as supervisor,
                AsyncExitStack() as resources,
            ):
                ensure_pinned_identities(layout)
                await boot_openbao(layout, endpoints, supervisor, resources, lambda _: None)
                provide_manifest(layout)
                yield AuthorityOrder(
                    openbao_url=endpoints.openbao.url,
                    ca_file=str(layout.openbao_ca),
                    role_id_file=str(layout.role_id(METADATA)),
                    secret_id_file=str(layout.secret_id(METADATA)),
                    manifest_file=str(layout.acl_file),
                )
