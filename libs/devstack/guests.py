"""Parties beside the system's own, for measuring it: what OpenBao and NATS must know of them.

A stack has none unless it is asked for. One that connects is a NATS user outside every account of
the system: it hears nothing of anybody and may talk to its own inbox only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from svc_core.domain.identity import Deployment
from svc_core.domain.subjects import inbox_prefix

_LIGHT_POLICY: Final = """\
path "nats_int/issuer/+/sign/light" {
  capabilities = ["update"]
  allowed_parameters = { "csr" = [], "ttl" = [] }
}
path "secret/data/transport/desired" {
  capabilities = ["read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
"""
_SURVEYOR_POLICY: Final = """\
path "pki/issuers" {
  capabilities = ["list"]
}
path "pki/keys" {
  capabilities = ["list"]
}
path "nats_int/issuers" {
  capabilities = ["list"]
}
path "nats_int/keys" {
  capabilities = ["list"]
}
path "nats_route/issuers" {
  capabilities = ["list"]
}
path "nats_route/keys" {
  capabilities = ["list"]
}
path "secret/metadata/*" {
  capabilities = ["list", "read"]
}
path "auth/approle/role/+/secret-id" {
  capabilities = ["list"]
}
path "auth/token/accessors" {
  capabilities = ["list", "sudo"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
"""
_USERS: Final = """\
authorization {{
  users: [
{users}
  ]
}}
"""
_USER: Final = """\
    {{
      user: "{uri}"
      allowed_connection_types: ["STANDARD"]
      permissions {{
        publish {{ allow: ["{inbox}.>"] }}
        subscribe {{ allow: ["{inbox}.>"] }}
      }}
    }}"""


@dataclass(frozen=True, slots=True)
class Guest:
    """One party with an AppRole of its own."""

    name: str
    """Of its AppRole, its policy and, if it connects, its NATS user; no dash in it."""
    policy: str
    """What it may do in OpenBao, in HCL."""
    connects: bool = False
    """Whether it has leaf certificates and is a NATS user."""


LIGHT: Final = Guest("light", _LIGHT_POLICY, connects=True)
"""Clients that hold a connection and follow rotations, and do nothing else."""
SURVEYOR: Final = Guest("surveyor", _SURVEYOR_POLICY)
"""Counts what OpenBao keeps, and reads none of it."""


def guest_users(guests: Sequence[Guest], deployment: Deployment) -> str:
    """Return what a NATS server's configuration says about ``guests``; nothing without one."""
    users = [
        _USER.format(uri=deployment.spiffe_id(guest.name), inbox=inbox_prefix(guest.name))
        for guest in guests
        if guest.connects
    ]
    return _USERS.format(users="\n".join(users)) if users else ""
