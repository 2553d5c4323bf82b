"""Metadata's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from services.metadata.adapters.accessor_registry import OpenBaoAccessorRegistry
from services.metadata.adapters.acl_file import FileManifest
from services.metadata.adapters.issuer_mint import OpenBaoIssuerMint
from services.metadata.adapters.jetstream import JetStreamDeclaration
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.adapters.token_registry import OpenBaoTokenRegistry
from services.metadata.config import MetadataSettings
from services.metadata.domain.lease import LeaseTimes
from services.metadata.flows.access_ending import AccessEnding
from services.metadata.flows.accessor_janitor import AccessorJanitor
from services.metadata.flows.acl_following import AclFollower, AclSource, read_acl
from services.metadata.flows.adoption import Adoption
from services.metadata.flows.announcing import Announcer, Streams
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.audited import AuditedStore, audited
from services.metadata.flows.bundle_announcing import BundleAnnouncer
from services.metadata.flows.bundle_responder import BundleResponder
from services.metadata.flows.ca_rotation import CaRotator, RotationTools
from services.metadata.flows.commands import CommandFollower
from services.metadata.flows.fleet_watching import FleetWatch
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.issuer_orders import IssuerOrders
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.ledger_keeping import LedgerKeeper
from services.metadata.flows.revocation import KeyOrders
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.flows.step_taking import CanaryProof
from services.metadata.ports import AclManifest
from svc_core.adapters.nats_canary import NatsCanary
from svc_core.adapters.pinned import read_operator_identity
from svc_core.domain.identity import AUTHCONTROLLER, CANARY, GATEKEEPER, METADATA, WATCHER
from svc_core.errors import ConfigError, IdentityError
from svc_core.flows.statements import Author, Statements
from svc_core.kit import ServiceKit, client_spec
from svc_core.kit import serve as serve_kit
from svc_core.runtime.supervision import Loop

SERVICES: Final = frozenset({METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER})
_LOOP_BUDGET: Final = timedelta(seconds=15)
_COMMAND_BUDGET: Final = timedelta(seconds=60)
"""One command waits for servers and services, ten seconds for each."""
_ACL_BUDGET: Final = timedelta(minutes=10)


async def serve(settings: MetadataSettings, stop: asyncio.Event) -> None:
    """Run the authority until ``stop`` is set."""
    await serve_kit(settings, METADATA, _loops, stop)


@asynccontextmanager
async def _loops(kit: ServiceKit[MetadataSettings]) -> AsyncIterator[Sequence[Loop]]:
    kit.uses_keys = False
    kit.hears_hints = False
    author = _pinned_author(kit)
    async with _manifest(kit.settings) as manifest:
        # Who is revoked is in OpenBao, which need not be there yet: till then nobody gets anything.
        acls = AclSource(await read_acl(manifest, known=SERVICES), revoked=None)
        follower = AclFollower(manifest, acls, SERVICES, kit.health)
        kit.health.expect(AclFollower.name, _ACL_BUDGET)
        yield [follower, *_authority(kit, author, acls)]


def _authority(
    kit: ServiceKit[MetadataSettings], author: Author, acls: AclSource
) -> Sequence[Loop]:
    instances = InstanceKeys(kit.store, kit.clock)
    audit = AuditLog(kit.store, author, kit.clock)
    ledgers = LedgerKeeper(AuditedStore(kit.store, audit, "ledger"))
    key_store = AuditedStore(kit.store, audit, "keys")
    keys = KeyIssuance(key_store, TransitKeyWrap(kit.session), ledgers, instances, acls, kit.around)
    fleet = FleetWatch(kit.bus, instances, kit.around)
    announcer = Announcer(
        kit.store,
        kit.bus,
        author,
        Streams(JetStreamDeclaration(kit.connection), kit.settings.replicas),
        kit.follower.hinted,
        kit.around,
    )
    canaries = NatsCanary(kit.settings.nats.servers)
    times = LeaseTimes.of(kit.settings.rotation)
    tools = RotationTools(
        JournalKeeper(kit.store, kit.instance, audit, kit.clock, times),
        OpenBaoIssuerMint(kit.session, kit.settings.rotation),
        fleet,
        announcer,
        CanaryProof(kit.issuing, canaries, client_spec(kit.settings, CANARY)),
        audit,
        kit.settings.when_silent,
    )
    rotator = CaRotator(tools, acls, kit.around, IssuanceMetrics(kit.metrics))
    access = AccessEnding(OpenBaoAccessorRegistry(kit.session), OpenBaoTokenRegistry(kit.session))
    adoption = Adoption(fleet, kit.reader, kit.around)
    orders = KeyOrders(ledgers, keys, instances, access, adoption, SERVICES)
    for name in (CaRotator.name, Announcer.name, BundleAnnouncer.name):
        kit.health.expect(name, _LOOP_BUDGET)
    kit.health.expect(CommandFollower.name, _COMMAND_BUDGET)
    # Issued once per lead, so that two missed leads show.
    kit.health.expect(KeyIssuance.name, 2 * kit.settings.rotation.keys.period + _LOOP_BUDGET)
    acls.wake(rotator.hinted, keys.hinted)
    return [
        rotator,
        keys,
        announcer,
        BundleResponder(kit.bus, keys, instances, acls, author, kit.around),
        BundleAnnouncer(keys, kit.connection, author, kit.around),
        _commands(kit, orders, IssuerOrders(rotator, kit.around), audit),
        _janitor(kit),
    ]


def _janitor(kit: ServiceKit[MetadataSettings]) -> Loop:
    return AccessorJanitor(
        OpenBaoAccessorRegistry(kit.session),
        kit.store,
        SERVICES,
        kit.settings.openbao.secret_id_period,
        kit.around,
        kit.metrics,
    )


def _commands(
    kit: ServiceKit[MetadataSettings], orders: KeyOrders, issuers: IssuerOrders, audit: AuditLog
) -> Loop:
    operator = Statements([read_operator_identity(kit.settings.trust)])
    kinds = audited({**orders.kinds, **issuers.kinds}, audit)
    return CommandFollower(kit.store, operator, kinds, kit.instance, kit.around)


@asynccontextmanager
async def _manifest(settings: MetadataSettings) -> AsyncIterator[AclManifest]:
    if settings.acl_file is not None:
        yield FileManifest(settings.acl_file)
    elif settings.acl_config_map is not None:
        # Half a second and thirty megabytes that only those pay who need them.
        from services.metadata.adapters.acl_configmap import open_manifest  # noqa: PLC0415

        async with open_manifest(settings.acl_config_map) as manifest:
            yield manifest
    else:
        raise ConfigError("set either acl_file or acl_config_map")


def _pinned_author(kit: ServiceKit[MetadataSettings]) -> Author:
    try:
        kit.statements.verifier(kit.instance)
    except IdentityError as err:
        raise ConfigError(
            f"instance {kit.instance!r} is not in the operator-signed list "
            f"{kit.settings.trust.metadata_identities_file}; set `instance` to a listed id"
        ) from err
    return Author(kit.instance, kit.signer)
