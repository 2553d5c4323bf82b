"""Watcher's own settings."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from svc_core.config import KubernetesApiSettings, Section, ServiceSettings


class NatsNode(Section):
    """One NATS server that Watcher looks after."""

    name: str
    """``server_name`` in its configuration; in Kubernetes also the name of its pod."""
    url: str
    """``tls://host:port`` for clients."""
    live_dir: Path | None = None
    """Symlink to the directory with trust, permissions and certificates it runs with."""
    pid_file: Path | None = None
    """Where the server writes its pid, for the signal that works when nothing else does."""
    dns_names: tuple[str, ...] = ()
    """DNS names in its certificates."""
    ip_addresses: tuple[str, ...] = ()
    """IP addresses in its certificates."""


class KubernetesSettings(Section):
    """Where the servers' files go in Kubernetes: one Secret for all of them."""

    namespace: str
    """Namespace of the NATS pods and of the Secrets."""
    secret: str = "nats-ca-tls"  # noqa: S105 (the name of a Secret, not a secret)
    """Secret that the NATS pods have mounted; the set before is kept as ``<name>-previous``."""
    trust_secret: str = "nats-trust"  # noqa: S105 (the name of a Secret, not a secret)
    """Secret with ``ca.pem`` and ``root.pem`` for whoever connects."""
    pod_selector: str = "app=nats"
    """Labels of the NATS pods."""
    exec_container: str = "nats"
    """Container in which the server is process 1."""
    api: KubernetesApiSettings = KubernetesApiSettings()
    """How the API is reached; a pod needs nothing here."""


class WatcherSettings(ServiceSettings):
    """The service that makes NATS follow."""

    nats_nodes: tuple[NatsNode, ...] = Field(min_length=1)
    """Every server of the cluster."""
    trust_dir: Path | None = None
    """Symlink to the directory with ``ca.pem`` and ``root.pem``; not used in Kubernetes."""
    kubernetes: KubernetesSettings | None = None
    """Set where the servers are pods; without it they are processes of this machine."""

    @model_validator(mode="after")
    def _files_have_a_place(self) -> Self:
        if self.kubernetes is None:
            if self.trust_dir is None:
                raise ValueError("trust_dir is required unless `kubernetes` is set")
            for node in self.nats_nodes:
                if node.live_dir is None or node.pid_file is None:
                    raise ValueError(
                        f"nats_nodes: {node.name} needs live_dir and pid_file unless `kubernetes` "
                        "is set"
                    )
        return self
