"""An instance with a secret-id file of its own, and the replacement of what is in it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from svc_core.adapters.files import write_private
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.config import OpenBaoSettings
from svc_core.domain.identity import ServiceName, instance_name
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.runtime.health import Health
from tests.integration.bare_stack import ReachableOpenBao, RunningOpenBao, open_bare_openbao

PERIOD: Final = timedelta(minutes=5)


async def provide_own_file(
    openbao: ReachableOpenBao, service: ServiceName, folder: Path
) -> OpenBaoSettings:
    """Return settings of ``service`` whose secret-id file in ``folder`` is nobody else's."""
    settings = openbao.settings(service).model_copy(update={"secret_id_file": folder / "secret_id"})
    async with open_openbao(openbao.settings(service), service) as session:
        made = await session.make_secret_id()
    write_private(settings.secret_id_file, made.value.reveal() + b"\n")
    return settings


@dataclass(frozen=True, slots=True)
class ProvisionedOpenBao:
    """An OpenBao with a secret-id that the operator made and nobody has used."""

    openbao: RunningOpenBao
    secret_id: str


@asynccontextmanager
async def open_provisioned(
    root: Path, service: ServiceName, lives: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[ProvisionedOpenBao]:
    """Start an OpenBao, make a secret-id of ``service`` under a root token, then set ``lives``.

    All of it in the loop that supervises the server, since that is restarted for a root token.

    Args:
        lives: by AppRole, what to change of it.
    """
    async with open_bare_openbao(root) as openbao, openbao.api() as api:
        session = api.with_token(await openbao.server.make_root_token(api))
        made = await session.write(f"auth/approle/role/{service}/secret-id")
        for role, body in lives.items():
            await session.write(f"auth/approle/role/{role}", body)
        await session.write("auth/token/revoke-self")
        await openbao.server.close_root(api)
        yield ProvisionedOpenBao(openbao, str(made["data"]["secret_id"]))


def claims_of(session: OpenBaoSession, service: ServiceName, instance: str) -> AccessorClaims:
    """Return what ``instance`` claims."""
    return AccessorClaims(OpenBaoSecretStore(session), service, instance_name(instance))


def renewal_of(session: OpenBaoSession, service: ServiceName, instance: str) -> AppRoleRenewal:
    """Return the loop that renews this instance's credential."""
    own = claims_of(session, service, instance)
    return AppRoleRenewal(session, PERIOD, Health(SystemClock()), own)


async def replace_secret_id(settings: OpenBaoSettings, service: ServiceName, instance: str) -> None:
    """Replace the secret-id in one session."""
    async with open_openbao(settings, service) as session:
        await renewal_of(session, service, instance).replace_secret_id()
