"""Names that cannot be wrong: services, instances, subjects, SPIFFE ids."""

import re
from dataclasses import dataclass
from typing import Final, NewType

ServiceName = NewType("ServiceName", str)
InstanceName = NewType("InstanceName", str)
Subject = NewType("Subject", str)

_SERVICE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_INSTANCE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MAX_SUBJECT: Final = 256


def service_name(text: str) -> ServiceName:
    """Return ``text`` as a service name, or raise `ValueError`."""
    if not _SERVICE.fullmatch(text):
        raise ValueError(f"not a service name: {text!r} (want {_SERVICE.pattern})")
    return ServiceName(text)


def instance_name(text: str) -> InstanceName:
    """Return ``text`` as an instance name (one NATS token), or raise `ValueError`."""
    if not _INSTANCE.fullmatch(text):
        raise ValueError(f"not an instance name: {text!r} (want {_INSTANCE.pattern})")
    return InstanceName(text)


def subject(text: str) -> Subject:
    """Return ``text`` as a literal subject (no wildcards, at most 256 characters)."""
    if len(text) > _MAX_SUBJECT or not all(_TOKEN.fullmatch(t) for t in text.split(".")):
        raise ValueError(f"not a literal subject: {text!r}")
    return Subject(text)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The trust domain and namespace that every SPIFFE id of one deployment starts with."""

    trust_domain: str = "securetransport.local"
    namespace: str = "default"

    def spiffe_id(self, account: str) -> str:
        """Return ``spiffe://<trust domain>/ns/<namespace>/sa/<account>``, the NATS user name."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{account}"


METADATA: Final = ServiceName("metadata")
WATCHER: Final = ServiceName("watcher")
GATEKEEPER: Final = ServiceName("gatekeeper")
AUTHCONTROLLER: Final = ServiceName("authcontroller")
WATCHER_SYS: Final = "watcher-sys"
CANARY: Final = "canary"
OPERATOR: Final = "operator"
"""A person's commands: no service, so nobody may be called that."""
NATS_SERVER: Final = "nats-server"
NATS_ROUTE: Final = "nats-route"
