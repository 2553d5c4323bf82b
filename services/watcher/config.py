"""Watcher's own settings."""

from pathlib import Path

from pydantic import Field

from svc_core.config import Section, ServiceSettings


class NatsNode(Section):
    """One NATS server that Watcher looks after."""

    name: str
    """``server_name`` in its configuration."""
    url: str
    """``tls://host:port`` for clients."""
    live_dir: Path
    """Symlink to the directory with trust, permissions and certificates it runs with."""
    pid_file: Path
    """Where the server writes its pid, for the signal that works when nothing else does."""
    dns_names: tuple[str, ...] = ()
    """DNS names in its certificates."""
    ip_addresses: tuple[str, ...] = ()
    """IP addresses in its certificates."""


class WatcherSettings(ServiceSettings):
    """The service that makes NATS follow."""

    nats_nodes: tuple[NatsNode, ...] = Field(min_length=1)
    """Every server of the cluster."""
    trust_dir: Path
    """Symlink to the directory with ``ca.pem`` and ``root.pem``."""
