"""NATS as the operator's own user, for as long as one command takes.

The certificate is issued for that by the active issuer, under the operator's AppRole. Which issuers
to trust is read from OpenBao and verified with the pinned identities, as services do it.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from console.operator_settings import OperatorSettings
from svc_core.adapters.nats_connection import NatsConnection, NatsUser, open_bus
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.pinned import read_pinned_identities
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import CryptoSettings
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.identity import OPERATOR
from svc_core.domain.profiles import PROFILES
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import DependencyError
from svc_core.flows.desired_reading import DesiredReader
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from svc_core.flows.statements import Statements
from svc_core.runtime.health import Health
from svc_core.runtime.surroundings import Surroundings


class NothingAnnouncedError(DependencyError):
    """No authority has said yet whom to trust."""

    code = "console.nothing_announced"
    advice = "wait until Metadata is ready"


@asynccontextmanager
async def open_operator_bus(settings: OperatorSettings) -> AsyncIterator[NatsConnection]:
    """Yield a connection of the operator's user.

    Raises:
        ConfigError: what was pinned cannot be read or is not the operator's.
        AccessDeniedError: OpenBao or NATS refuses the operator.
        SecretStoreError, BusError: OpenBao or NATS does not answer.
        NothingAnnouncedError: there is no desired state yet.
    """
    _keep_output_clean()
    material = await _issue(settings)
    credentials = LinkCredentials(client_context(material), material.issuer, material.chain_pem)
    user = NatsUser(OPERATOR, f"operator-{os.getpid()}")
    connection = NatsConnection(settings.nats, user, lambda: credentials, system_entropy)
    async with open_bus(connection):
        await connection.swap()
        yield connection


async def _issue(settings: OperatorSettings) -> TlsMaterial:
    clock = SystemClock()
    crypto = CryptoSuite.of(CryptoSettings().policy())
    profile = PROFILES[settings.profile]
    around = Surroundings(clock, system_entropy, profile, Health(clock), crypto)
    statements = Statements(read_pinned_identities(settings.trust))
    async with open_openbao(settings.openbao, OPERATOR) as session:
        store = OpenBaoSecretStore(session)
        desired = await DesiredReader(store, None, statements, settings.profile).read()
        if desired is None:
            raise NothingAnnouncedError("nobody has announced an issuer yet")
        spec = LeafSpec(OPERATOR, uris=(settings.deployment.spiffe_id(OPERATOR),))
        issuing = LeafIssuing(OpenBaoCertificateIssuer(session), around)
        return await issuing.issue(spec, desired, desired.active)


def _keep_output_clean() -> None:
    # Standard output belongs to the command; asyncio's warnings are about the client's TLS close.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
