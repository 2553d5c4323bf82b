"""Sets up an OpenBao that somebody else runs: a container, or pods in a cluster.

`devstack.stack` does this for its own OpenBao; here it is two steps around a start that is not
ours. Before it, `prepare_files` makes what OpenBao and everybody else need on disk: the listener's
certificate, the key that unseals it, the pinned identities. After it, `provision` initialises
OpenBao once, sets it up and leaves credentials. The initial root token never reaches a disk.
"""

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from devstack.bootstrap import apply_spec, issue_credentials, lacking_credentials
from devstack.bootstrap_spec import (
    INTERMEDIATE_MOUNT,
    ROUTE_MOUNT,
    Body,
    BootstrapSpec,
    bootstrap_spec,
)
from devstack.conditions import wait_until
from devstack.errors import StackDamagedError
from devstack.identities import ensure_pinned_identities
from devstack.layout import SERVICES, Layout, metadata_replicas
from devstack.listener_ca import ensure_listener_tls
from devstack.openbao_api import OpenBaoApi, open_openbao_api
from devstack.openbao_files import OpenBaoFiles
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.identity import NATS_ROUTE, NATS_SERVER, Deployment
from svc_core.domain.profiles import PROFILES
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError, RequestRefusedError, SecretStoreError

_SEAL_KEY_SIZE: Final = 32
_LISTEN_WITHIN: Final = timedelta(seconds=120)
_UNINITIALISED: Final = 501
_ACTIVE: Final = 200
_MARK: Final = "provisioned.json"
_RECOVERY_KEY: Final = "recovery.key"


class NoRootTokenError(ConfigError):
    """OpenBao has to be changed, and nothing here may do that."""

    code = "provision.no_root_token"
    advice = "put a root token into a file of mode 0600 and name it with --token-file"


@dataclass(frozen=True, slots=True)
class ProvisionOptions:
    """Which OpenBao to set up, and for what."""

    layout: Layout
    """Where `prepare_files` wrote, and where credentials go."""
    url: str
    """``https://host:port`` as reached from here."""
    profile: str
    nats_names: tuple[str, ...] = ()
    """DNS names of the NATS servers, beside those of a local stack."""
    admin_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More DNS names of the services' admin listeners, by service."""
    token_file: Path | None = None
    """A token that may do everything; without it one is made where the recovery key is here."""
    keeps_credentials: bool = False
    """Credentials that exist are right, although their first use may have replaced them."""
    metadata_replicas: int = 1
    """How many of Metadata there are; each has credentials of its own."""

    @property
    def further(self) -> tuple[str, ...]:
        """The replicas of Metadata after the first."""
        return metadata_replicas(self.metadata_replicas)[1:]


def prepare_files(
    layout: Layout, *, openbao_names: Iterable[str], now: datetime, replicas: int = 1
) -> None:
    """Make everything that has to exist before OpenBao starts; safe to repeat.

    Args:
        layout: where; directories of services may be mounts of their own.
        openbao_names: DNS names of OpenBao's listener beside ``localhost`` and ``openbao``.
        now: aware, UTC.
        replicas: how many of Metadata there are.
    """
    ensure_pinned_identities(layout, replicas=replicas)
    files = OpenBaoFiles(layout.openbao)
    for directory in (files.data, files.tls):
        make_private_directory(directory)
    ensure_listener_tls(
        files.tls,
        layout.openbao_ca,
        layout.operator / "openbao-ca-key.pem",
        now=now,
        more_names=tuple(openbao_names),
    )
    seal_key = files.directory / "seal.key"
    if not seal_key.exists():
        write_private(seal_key, os.urandom(_SEAL_KEY_SIZE))
    for service in (*SERVICES, *metadata_replicas(replicas)[1:]):
        for name in ("state", "journal"):
            make_private_directory(layout.service(service) / name)


async def provision(options: ProvisionOptions) -> bool:
    """Bring OpenBao to what the options say and leave working credentials; safe to repeat.

    Returns:
        Whether anything had to be done.

    Raises:
        StackStartError: OpenBao did not become usable in time.
        NoRootTokenError: there is something to change and no token for it.
        ConfigError: the token file cannot be read.
    """
    layout, spec = options.layout, widened_spec(options)
    async with open_openbao_api(options.url, layout.openbao_ca) as api:
        await _wait(api, "OpenBao's listener", until=None)
        token = await _initialise(api, layout) if await api.health() == _UNINITIALISED else None
        await _wait(api, "OpenBao", until=_ACTIVE)
        if token is None and await _is_done(api, options, spec):
            return False
        root = api.with_token(token or await _root_token(api, options))
        try:
            await apply_spec(root, spec)
            await _issue(root, options, spec)
        finally:
            if options.token_file is None:
                await root.write("auth/token/revoke-self")
    write_private(_mark(layout), json.dumps({"spec": spec.fingerprint}).encode())
    return True


def widened_spec(options: ProvisionOptions) -> BootstrapSpec:
    """Return the set-up of a local stack with the names of this deployment allowed too."""
    spec = bootstrap_spec(PROFILES[options.profile], Deployment())
    wider = {
        f"{INTERMEDIATE_MOUNT}/roles/{NATS_SERVER}": options.nats_names,
        f"{ROUTE_MOUNT}/roles/{NATS_ROUTE}": options.nats_names,
        **{
            f"{INTERMEDIATE_MOUNT}/roles/{service}-admin": names
            for service, names in options.admin_names.items()
        },
    }
    roles = {path: _allowing(body, wider.get(path, ())) for path, body in spec.roles.items()}
    return replace(spec, roles=roles)


def _allowing(body: Body, names: Iterable[str]) -> Body:
    present = body.get("allowed_domains")
    known = list(present) if isinstance(present, list) else []
    more = [name for name in names if name not in known]
    return {**body, "allowed_domains": [*known, *more]} if more else body


async def _wait(api: OpenBaoApi, part: str, *, until: int | None) -> None:
    async def answers() -> bool:
        status = await api.health()
        return status is not None and until in {None, status}

    await wait_until(answers, within=_LISTEN_WITHIN, part=part)


async def _initialise(api: OpenBaoApi, layout: Layout) -> SecretBytes:
    shares = {"recovery_shares": 1, "recovery_threshold": 1}
    answer = await api.call("PUT", "sys/init", shares)
    write_private(layout.operator / _RECOVERY_KEY, str(answer["recovery_keys"][0]).encode())
    return SecretBytes(str(answer["root_token"]).encode())


async def _is_done(api: OpenBaoApi, options: ProvisionOptions, spec: BootstrapSpec) -> bool:
    try:
        mark = json.loads(_mark(options.layout).read_text())
    except FileNotFoundError:
        return False
    except ValueError as err:
        raise StackDamagedError(f"{_mark(options.layout)} is damaged") from err
    return mark == {"spec": spec.fingerprint} and not await _lacking(api, options, spec)


async def _lacking(api: OpenBaoApi, options: ProvisionOptions, spec: BootstrapSpec) -> list[str]:
    if not options.keeps_credentials:
        return await lacking_credentials(api, options.layout, spec, options.further)
    holders = (*spec.app_roles, *options.further)
    return [holder for holder in holders if not options.layout.secret_id(holder).exists()]


async def _issue(root: OpenBaoApi, options: ProvisionOptions, spec: BootstrapSpec) -> None:
    lacking = set(await _lacking(root, options, spec))
    wanted = {role: body for role, body in spec.app_roles.items() if role in lacking}
    more = tuple(replica for replica in options.further if replica in lacking)
    await issue_credentials(root, options.layout, replace(spec, app_roles=wanted), more)


async def _root_token(api: OpenBaoApi, options: ProvisionOptions) -> SecretBytes:
    if options.token_file is not None:
        try:
            return SecretBytes(options.token_file.read_bytes().strip())
        except OSError as err:
            raise ConfigError(f"cannot read the token file: {err}") from err
    recovery_key = options.layout.operator / _RECOVERY_KEY
    if not recovery_key.exists():
        raise NoRootTokenError("OpenBao has to be set up, and no token for that is at hand")
    return await _made_root_token(api, recovery_key.read_text().strip())


async def _made_root_token(api: OpenBaoApi, key: str) -> SecretBytes:
    try:
        await api.call("DELETE", "sys/generate-root/attempt")
        attempt = await api.call("PUT", "sys/generate-root/attempt", {})
        proof = {"key": key, "nonce": attempt["nonce"]}
        answer = await api.call("PUT", "sys/generate-root/update", proof)
    except (RequestRefusedError, SecretStoreError) as err:
        raise NoRootTokenError(f"OpenBao makes no root token from the recovery key: {err}") from err
    encoded = str(answer["encoded_token"])
    masked = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    mask = str(attempt["otp"]).encode()
    return SecretBytes(bytes(a ^ b for a, b in zip(masked, mask, strict=True)))


def _mark(layout: Layout) -> Path:
    return layout.operator / _MARK


def now_utc() -> datetime:
    """Return this machine's time, for the command."""
    return datetime.now(UTC)
