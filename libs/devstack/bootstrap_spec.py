"""What OpenBao is set up with, as tables: mounts, certificate roles, AppRoles, policies.

Every leaf certificate is issued for exact names only: a client role allows one SPIFFE URI and
nothing else, a server role the names of this machine and no client usage.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.errors import StackDamagedError
from devstack.guests import Guest
from devstack.layout import NODES, OPERATOR, SERVICES
from svc_core.domain.identity import (
    CANARY,
    NATS_ROUTE,
    NATS_SERVER,
    WATCHER_SYS,
    Deployment,
)
from svc_core.domain.profiles import RotationProfile

Body = Mapping[str, object]

ROOT_MOUNT: Final = "pki"
INTERMEDIATE_MOUNT: Final = "nats_int"
ROUTE_MOUNT: Final = "nats_route"
KV_MOUNT: Final = "secret"
TRANSIT_KEY: Final = "bundle-master"
ROOT_NAME: Final = "SecureTransport Root CA"
ROOT_TTL: Final = timedelta(days=3652)
APP_ROLES: Final = (*SERVICES, OPERATOR)

_CLIENT_ROLES: Final = (*SERVICES, WATCHER_SYS, CANARY, OPERATOR)
_LOOPBACK: Final = "127.0.0.1/32"
_POLICIES: Final = (
    Path(__file__).with_name("policies"),
    Path(__file__).parents[2] / "deploy" / "openbao" / "policies",
)
_STRICT: Final[Body] = {
    "key_type": "ec",
    "key_bits": 256,
    "no_store": True,
    "require_cn": False,
    "use_csr_common_name": False,
    "allow_any_name": False,
    "allow_localhost": False,
    "allow_subdomains": False,
    "allow_glob_domains": False,
    "allow_wildcard_certificates": False,
    "enforce_hostnames": True,
    "key_usage": ["DigitalSignature"],
    "code_signing_flag": False,
    "email_protection_flag": False,
}


@dataclass(frozen=True, slots=True)
class BootstrapSpec:
    """Everything the bootstrap makes that can differ between versions and profiles."""

    profile: RotationProfile
    roles: Mapping[str, Body]
    """PKI roles by their path."""
    app_roles: Mapping[str, Body]
    policies: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything above; another one means that the bootstrap must run again."""
        content = [self.profile.name, dict(self.roles), dict(self.app_roles), dict(self.policies)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def bootstrap_spec(
    profile: RotationProfile, deployment: Deployment, guests: Sequence[Guest] = ()
) -> BootstrapSpec:
    """Return the set-up for one profile, and for parties beside the system's own.

    Raises:
        StackDamagedError: a policy file is missing from the installation.
    """
    app_role: Body = {
        "bind_secret_id": True,
        "secret_id_ttl": "336h",
        "secret_id_num_uses": 0,
        "token_ttl": "1h",
        "token_max_ttl": "24h",
        "token_type": "service",
        "token_no_default_policy": True,
    }
    return BootstrapSpec(
        profile=profile,
        roles=_certificate_roles(profile, deployment, tuple(g.name for g in guests if g.connects)),
        app_roles={
            name: {**app_role, "token_policies": [name]}
            for name in (*APP_ROLES, *(guest.name for guest in guests))
        },
        policies={
            **{name: _policy(name) for name in APP_ROLES},
            **{guest.name: guest.policy for guest in guests},
        },
    )


def _certificate_roles(
    profile: RotationProfile, deployment: Deployment, guests: Sequence[str]
) -> dict[str, Body]:
    limits: Body = {
        "ttl": _seconds(profile.leaf_ttl),
        "max_ttl": _seconds(2 * profile.leaf_ttl),
        "not_before_duration": _seconds(profile.backdate),
    }
    strict = {**_STRICT, **limits}
    roles: dict[str, Body] = {}
    for account in (*_CLIENT_ROLES, *guests):
        names = _uri_only(deployment.spiffe_id(account))
        roles[f"{INTERMEDIATE_MOUNT}/roles/{account}"] = {**strict, **names, **_usage("client")}
    for service in SERVICES:
        names = _hosts(service, "localhost")
        roles[f"{INTERMEDIATE_MOUNT}/roles/{service}-admin"] = strict | names | _usage("server")
    hosts = _hosts(*NODES, "localhost")
    roles[f"{INTERMEDIATE_MOUNT}/roles/{NATS_SERVER}"] = strict | hosts | _usage("server")
    # A node is both ends of a route: it dials by address and is known by its URI.
    route = hosts | {"allowed_uri_sans": [deployment.spiffe_id(NATS_ROUTE)]}
    roles[f"{ROUTE_MOUNT}/roles/{NATS_ROUTE}"] = strict | route | _usage("client", "server")
    return roles


def _uri_only(uri: str) -> dict[str, object]:
    return {"allowed_uri_sans": [uri], "allow_ip_sans": False, "allow_bare_domains": False}


def _hosts(*names: str) -> dict[str, object]:
    return {
        "allowed_domains": list(names),
        "allow_bare_domains": True,
        "allow_ip_sans": True,
        "allowed_ip_sans_cidr": [_LOOPBACK],
    }


def _usage(*sides: str) -> dict[str, object]:
    return {"client_flag": "client" in sides, "server_flag": "server" in sides}


def _policy(name: str) -> str:
    for folder in _POLICIES:
        path = folder / f"{name}.hcl"
        if path.is_file():
            return path.read_text()
    raise StackDamagedError(f"the installation lacks the OpenBao policy {name}.hcl")


def _seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())}s"
