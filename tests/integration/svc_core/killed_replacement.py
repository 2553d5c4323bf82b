"""Replaces the secret-id once and is killed at the n-th effect that this has on the world.

An effect is a request (or half of one) being sent, or a file being opened, renamed or removed.
Exit code 0 says that there was no n-th effect.
"""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import OpenBaoSettings
from svc_core.domain.identity import InstanceName, ServiceName, instance_name, service_name
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.runtime.health import Health

EFFECTS: Final = frozenset({"http.client.send", "open", "os.rename", "os.remove"})


async def _replace_until_killed(
    settings: OpenBaoSettings, service: ServiceName, instance: InstanceName, at: int
) -> None:
    async with open_openbao(settings, service) as session:
        await session.login()
        with ExitStack() as armed:
            _kill_at_effect(at, armed)
            own = AccessorClaims(OpenBaoSecretStore(session), service, instance)
            health = Health(SystemClock())
            await AppRoleRenewal(session, timedelta(minutes=5), health, own).replace_secret_id()


def _kill_at_effect(at: int, armed: ExitStack) -> None:
    left = [at]
    # Hooks cannot be taken out again, so this one counts only as long as it is armed.
    armed.callback(left.clear)

    def count(event: str, _arguments: object) -> None:
        if event in EFFECTS and left:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    _, document, service, instance, at = sys.argv
    asyncio.run(
        _replace_until_killed(
            OpenBaoSettings.model_validate_json(document),
            service_name(service),
            instance_name(instance),
            int(at),
        )
    )
