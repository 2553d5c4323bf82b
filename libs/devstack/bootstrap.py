"""Sets OpenBao up: mounts, the root CA, roles, policies, AppRoles and their credentials.

Every step is idempotent and the whole is marked as done only at its end, so an interrupted
bootstrap simply runs again. The root token exists in memory only and is revoked at the end.
"""

import json
from collections.abc import Mapping
from typing import Final

from devstack.bootstrap_spec import (
    INTERMEDIATE_MOUNT,
    KV_MOUNT,
    ROOT_MOUNT,
    ROOT_NAME,
    ROOT_TTL,
    ROUTE_MOUNT,
    TRANSIT_KEY,
    Body,
    BootstrapSpec,
)
from devstack.layout import Layout, service_of
from devstack.openbao import OpenBaoServer
from devstack.openbao_api import OpenBaoApi
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import AccessDeniedError, NotFoundError, RequestRefusedError

_ROOT_LIFETIME: Final = f"{int(ROOT_TTL.total_seconds())}s"


async def bootstrap(
    server: OpenBaoServer,
    api: OpenBaoApi,
    layout: Layout,
    spec: BootstrapSpec,
    initial_token: SecretBytes | None,
    *,
    more: tuple[str, ...] = (),
) -> bool:
    """Bring OpenBao to what ``spec`` says, if it is not there already.

    Args:
        server: unsealed; restarted when a root token must be made.
        api: without a token.
        layout: where the AppRole credentials go.
        spec: what to set up.
        initial_token: OpenBao's initial root token at its first start of all, else None.
        more: further replicas, which need credentials of their own.

    Returns:
        Whether anything had to be done.
    """
    wanted = {"spec": spec.fingerprint}
    if (
        initial_token is None
        and _read_mark(server) == wanted
        and not await lacking_credentials(api, layout, spec, more)
    ):
        return False
    token = initial_token or await server.make_root_token(api)
    root = api.with_token(token)
    try:
        await apply_spec(root, spec)
        await issue_credentials(root, layout, spec, more)
    finally:
        await root.write("auth/token/revoke-self")
    write_private(server.files.bootstrap_mark, json.dumps(wanted).encode())
    if initial_token is None:
        await server.close_root(api)
    return True


async def log_in(api: OpenBaoApi, layout: Layout, role: str) -> OpenBaoApi:
    """Return ``api`` under a fresh token of ``role``, from its credential files.

    Raises:
        AccessDeniedError: the credentials are missing or refused.
    """
    try:
        body = {
            "role_id": layout.role_id(role).read_text().strip(),
            "secret_id": layout.secret_id(role).read_text().strip(),
        }
        answer = await api.write("auth/approle/login", body)
    except (OSError, RequestRefusedError) as err:
        raise AccessDeniedError(f"the AppRole credentials of {role} are refused") from err
    return api.with_token(SecretBytes(str(answer["auth"]["client_token"]).encode()))


async def apply_spec(root: OpenBaoApi, spec: BootstrapSpec) -> None:
    """Make mounts, the root CA, roles, policies and AppRoles as ``spec`` says; safe to repeat."""
    await _mount(root, spec)
    await _ensure_root_ca(root, spec)
    for path, body in spec.roles.items():
        await root.write(path, body)
    await root.write(f"transit/keys/{TRANSIT_KEY}", {"type": "aes256-gcm96"})
    for name, text in spec.policies.items():
        await root.write(f"sys/policies/acl/{name}", {"policy": text})
    for name, body in spec.app_roles.items():
        await root.write(f"auth/approle/role/{name}", body)


async def _mount(root: OpenBaoApi, spec: BootstrapSpec) -> None:
    intermediate_life = f"{int(spec.profile.ca.validity.total_seconds())}s"
    wanted: Mapping[str, Body] = {
        ROOT_MOUNT: {"type": "pki", "config": {"max_lease_ttl": _ROOT_LIFETIME}},
        INTERMEDIATE_MOUNT: {"type": "pki", "config": {"max_lease_ttl": intermediate_life}},
        ROUTE_MOUNT: {"type": "pki", "config": {"max_lease_ttl": intermediate_life}},
        KV_MOUNT: {"type": "kv", "options": {"version": "2"}},
        "transit": {"type": "transit"},
    }
    present = (await root.read("sys/mounts"))["data"]
    for name, body in wanted.items():
        if f"{name}/" not in present:
            await root.write(f"sys/mounts/{name}", body)
        elif "config" in body:
            await root.write(f"sys/mounts/{name}/tune", _config_of(body))
    if "approle/" not in (await root.read("sys/auth"))["data"]:
        await root.write("sys/auth/approle", {"type": "approle"})
    # A secret-id cannot be guessed. A lock would only let whoever knows a role-id shut its service
    # out, and keep a service that was revoked from coming back for a quarter of an hour.
    await root.write("sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})


def _config_of(body: Body) -> Body:
    config = body["config"]
    return config if isinstance(config, Mapping) else {}


async def _ensure_root_ca(root: OpenBaoApi, spec: BootstrapSpec) -> None:
    try:
        await root.call("LIST", f"{ROOT_MOUNT}/issuers")
    except NotFoundError:
        body: Body = {
            "common_name": ROOT_NAME,
            "issuer_name": "root",
            "key_type": "ec",
            "key_bits": 256,
            "ttl": _ROOT_LIFETIME,
            "not_before_duration": f"{int(spec.profile.backdate.total_seconds())}s",
            "max_path_length": 1,
        }
        await root.write(f"{ROOT_MOUNT}/root/generate/internal", body)


async def issue_credentials(
    root: OpenBaoApi, layout: Layout, spec: BootstrapSpec, more: tuple[str, ...] = ()
) -> None:
    """Write a role-id and a secret-id for every AppRole and replica whose files do not log in."""
    for holder in await lacking_credentials(root, layout, spec, more):
        base = f"auth/approle/role/{service_of(holder)}"
        make_private_directory(layout.service(holder))
        role_id = (await root.read(f"{base}/role-id"))["data"]["role_id"]
        secret_id = (await root.write(f"{base}/secret-id"))["data"]["secret_id"]
        write_private(layout.role_id(holder), f"{role_id}\n".encode())
        write_private(layout.secret_id(holder), f"{secret_id}\n".encode())


async def lacking_credentials(
    api: OpenBaoApi, layout: Layout, spec: BootstrapSpec, more: tuple[str, ...] = ()
) -> list[str]:
    """Return the AppRoles and replicas whose credential files are missing or refused."""
    lacking = []
    for holder in (*spec.app_roles, *more):
        try:
            session = await log_in(api, layout, holder)
        except AccessDeniedError:
            lacking.append(holder)
        else:
            await session.write("auth/token/revoke-self")
    return lacking


def _read_mark(server: OpenBaoServer) -> object:
    try:
        return json.loads(server.files.bootstrap_mark.read_text())
    except (OSError, ValueError):
        return None
