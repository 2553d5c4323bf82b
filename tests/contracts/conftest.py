"""Real servers for contracts, started only if a contract is run against them."""

from tests.integration.conftest import nats_cluster, openbao, server_root

__all__ = ["nats_cluster", "openbao", "server_root"]
