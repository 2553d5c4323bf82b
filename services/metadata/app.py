"""Metadata's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from services.metadata.adapters.acl_file import read_acl
from services.metadata.adapters.issuer_mint import OpenBaoIssuerMint
from services.metadata.adapters.jetstream import JetStreamDeclaration
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.config import MetadataSettings
from services.metadata.flows.announcing import Announcer, Streams
from services.metadata.flows.bundle_responder import BundleResponder
from services.metadata.flows.ca_rotation import CanaryProof, CaRotator, RotationTools
from services.metadata.flows.fleet_watching import FleetWatch
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from svc_core.adapters.nats_canary import NatsCanary
from svc_core.domain.acl import Acl
from svc_core.domain.identity import AUTHCONTROLLER, CANARY, GATEKEEPER, METADATA, WATCHER
from svc_core.errors import ConfigError, IdentityError
from svc_core.flows.statements import Author
from svc_core.kit import ServiceKit, client_spec
from svc_core.kit import serve as serve_kit
from svc_core.runtime.supervision import Loop

log = structlog.get_logger()

SERVICES: Final = frozenset({METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER})
_LOOP_BUDGET: Final = timedelta(seconds=15)


async def serve(settings: MetadataSettings, stop: asyncio.Event) -> None:
    """Run the authority until ``stop`` is set."""
    await serve_kit(settings, METADATA, _loops, stop)


@asynccontextmanager
async def _loops(kit: ServiceKit[MetadataSettings]) -> AsyncIterator[Sequence[Loop]]:
    kit.uses_keys = False
    kit.hears_hints = False
    author = _pinned_author(kit)
    acl = _read_acl(kit.settings)
    instances = InstanceKeys(kit.store, kit.clock)
    keys = KeyIssuance(kit.store, TransitKeyWrap(kit.session), acl, kit.around)
    announcer = Announcer(
        kit.store,
        kit.bus,
        author,
        Streams(JetStreamDeclaration(kit.connection), kit.settings.replicas),
        kit.follower.hinted,
        kit.around,
    )
    canaries = NatsCanary(kit.settings.nats.servers)
    tools = RotationTools(
        JournalKeeper(kit.store, kit.instance),
        OpenBaoIssuerMint(kit.session, kit.settings.rotation),
        FleetWatch(kit.bus, instances, kit.around),
        announcer,
        CanaryProof(kit.issuing, canaries, client_spec(kit.settings, CANARY)),
    )
    rotator = CaRotator(tools, acl, kit.around, IssuanceMetrics(kit.metrics))
    for name in (CaRotator.name, Announcer.name):
        kit.health.expect(name, _LOOP_BUDGET)
    # Issued once per lead, so that two missed leads show.
    kit.health.expect(KeyIssuance.name, 2 * kit.settings.rotation.keys.period + _LOOP_BUDGET)
    yield [
        rotator,
        keys,
        announcer,
        BundleResponder(kit.bus, keys, instances, acl, author, kit.around),
    ]


def _pinned_author(kit: ServiceKit[MetadataSettings]) -> Author:
    try:
        kit.statements.verifier(kit.instance)
    except IdentityError as err:
        raise ConfigError(
            f"instance {kit.instance!r} is not in the operator-signed list "
            f"{kit.settings.trust.metadata_identities_file}; set `instance` to a listed id"
        ) from err
    return Author(kit.instance, kit.signer)


def _read_acl(settings: MetadataSettings) -> Acl:
    acl, warnings = read_acl(settings.acl_file, known=SERVICES)
    for warning in warnings:
        log.warning(
            "acl.entry_ignored", of=warning.service, entry=warning.entry, reason=warning.reason
        )
    return acl
