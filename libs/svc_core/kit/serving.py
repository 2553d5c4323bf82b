"""Runs a service as a process: settings, the kit, its own loops and those the service adds."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import structlog

from svc_core.domain.identity import ServiceName
from svc_core.kit.opening import open_kit
from svc_core.kit.own_loops import own_loops
from svc_core.kit.service_kit import S, ServiceKit
from svc_core.runtime.process import Serve, run_process
from svc_core.runtime.supervision import Loop, run_until
from svc_core.settings_loader import load_settings, read_arguments

log = structlog.get_logger()

Build = Callable[[ServiceKit[S]], AbstractAsyncContextManager[Sequence[Loop]]]


async def serve(settings: S, service: ServiceName, build: Build[S], stop: asyncio.Event) -> None:
    """Run the kit's own loops and those that ``build`` yields, until ``stop`` is set."""
    async with open_kit(settings, service) as kit, build(kit) as loops:
        log.info("service.started", profile=settings.profile, pid=os.getpid())
        await run_until(
            stop,
            [*own_loops(kit), *loops],
            drain=settings.drain,
            on_interrupted=kit.interrupted,
        )
        log.info("service.stopped")


def run(service: ServiceName, settings_type: type[S], serve_service: Serve[S]) -> int:
    """Run one service as a process and return its exit code.

    Returns:
        0 stopped (SIGTERM and SIGINT too), 1 failed, 2 cannot start as it is configured.
    """

    def load() -> S:
        config = read_arguments(sys.argv[1:], service)
        return load_settings(settings_type, config_file=config, environ=os.environ)

    return run_process(service, load, serve_service)
