"""Where everything of one local stack is on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, ServiceName

SERVICES: Final = (METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER)
NODES: Final = ("n1", "n2", "n3")
OPERATOR: Final = "operator"


def metadata_replicas(count: int) -> tuple[str, ...]:
    """Return the names of Metadata's replicas; the first is called like the service."""
    return (METADATA, *(f"{METADATA}-{number}" for number in range(2, count + 1)))


def service_of(child: str) -> ServiceName:
    """Return the service that a child is, or is a replica of; no service has a dash in its name."""
    return ServiceName(child.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one stack's directory; makes nothing."""

    root: Path
    """Absolute; ``var/`` by default."""

    @classmethod
    def at(cls, root: Path) -> Self:
        """Return the layout of the stack in ``root``, which may be relative."""
        return cls(root.resolve())

    @property
    def endpoints_file(self) -> Path:
        """Where everything listens, as JSON."""
        return self.root / "endpoints.json"

    @property
    def stack_file(self) -> Path:
        """Process ids and start times of every child."""
        return self.root / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Locked as long as a supervisor lives."""
        return self.root / ".lock"

    @property
    def operator(self) -> Path:
        """The operator's identity and AppRole credentials, mode 0700."""
        return self.root / "operator"

    @property
    def pinned(self) -> Path:
        """What is shipped out of band."""
        return self.root / "pinned"

    @property
    def openbao_ca(self) -> Path:
        """CA of OpenBao's own listener."""
        return self.pinned / "openbao-ca.pem"

    @property
    def operator_key(self) -> Path:
        """The operator's public key, base64."""
        return self.pinned / "operator.pub"

    @property
    def metadata_identities(self) -> Path:
        """The operator-signed list of Metadata's public identity keys."""
        return self.pinned / "metadata-identities.json"

    @property
    def trust(self) -> Path:
        """Symlink to the newest trust files, written by Watcher."""
        return self.root / "trust"

    @property
    def trust_file(self) -> Path:
        """The trusted intermediates."""
        return self.trust / "ca.pem"

    @property
    def openbao(self) -> Path:
        """OpenBao's configuration, data, log and unseal key."""
        return self.root / "openbao"

    @property
    def logs(self) -> Path:
        """Structured logs and output of the services."""
        return self.root / "log"

    @property
    def load_file(self) -> Path:
        """The load order Gatekeeper follows."""
        return self.service("gatekeeper") / "load.json"

    @property
    def acl_file(self) -> Path:
        """The ACL manifest Metadata follows."""
        return self.service("metadata") / "acl.yaml"

    @property
    def verdict_file(self) -> Path:
        """The verdict of the last demo."""
        return self.root / "demo" / "verdict.json"

    def service(self, name: str) -> Path:
        """Return the directory of one service, or of one more replica of it."""
        return self.root / name

    def log_of(self, name: str) -> Path:
        """Return the structured log of one service."""
        return self.logs / f"{name}.jsonl"

    def node(self, name: str) -> Path:
        """Return the directory of one NATS node."""
        return self.root / "nats" / name

    def role_id(self, role: str) -> Path:
        """Return the file with the AppRole role-id of a service or the operator."""
        return self.service(role) / "role_id"

    def secret_id(self, role: str) -> Path:
        """Return the file with the AppRole secret-id of a service or the operator."""
        return self.service(role) / "secret_id"
