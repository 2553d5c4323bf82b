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
from services.metadata.adapters.pki_engine import PkiEngine
from services.metadata.adapters.root_mint import OpenBaoRootMint
from services.metadata.adapters.token_registry import OpenBaoTokenRegistry
from services.metadata.config import MetadataSettings
from services.metadata.domain.lease import LeaseTimes
from services.metadata.flows.access_ending import AccessEnding
from services.metadata.flows.accessor_janitor import AccessorJanitor
from services.metadata.flows.acl_following import AclFollower, AclSource
from services.metadata.flows.adoption import Adoption
from services.metadata.flows.announcing import Announcer, Signatory, Streams
from services.metadata.flows.audit_keeping import AuditLog
from services.metadata.flows.audited import AuditedStore, audited
from services.metadata.flows.bundle_announcing import BundleAnnouncer
from services.metadata.flows.bundle_assembling import BundleAssembler
from services.metadata.flows.bundle_keeping import BundleKeeper, BundleTools
from services.metadata.flows.bundle_responder import BundleResponder, ResponderTools
from services.metadata.flows.bundle_sealing import BundleSealer
from services.metadata.flows.ca_rotation import CaRotator, RotationTools
from services.metadata.flows.command_pruning import CommandPruner
from services.metadata.flows.commands import CommandFollower
from services.metadata.flows.fleet_watching import FleetWatch, StatusListener
from services.metadata.flows.instance_keys import InstanceKeys
from services.metadata.flows.issuer_orders import IssuerOrders
from services.metadata.flows.journal_keeping import JournalKeeper
from services.metadata.flows.key_issuance import KeyIssuance
from services.metadata.flows.key_keeping import KeyKeeper
from services.metadata.flows.ledger_keeping import LedgerKeeper
from services.metadata.flows.manifest_metrics import ManifestMetrics
from services.metadata.flows.outlook_keeping import OutlookKeeper
from services.metadata.flows.revocation import KeyOrders, OrderTools
from services.metadata.flows.rights_keeping import RightsKeeper
from services.metadata.flows.root_keeping import RootKeeper
from services.metadata.flows.root_orders import RootOrders
from services.metadata.flows.rotation_metrics import IssuanceMetrics
from services.metadata.flows.step_taking import CanaryProof
from services.metadata.ports import AclManifest
from svc_core.adapters.nats_canary import NatsCanary
from svc_core.adapters.pinned import read_operator_identity
from svc_core.domain.identity import AUTHCONTROLLER, CANARY, GATEKEEPER, METADATA, WATCHER
from svc_core.domain.subjects import declared_streams
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
        yield _authority(kit, author, manifest)


def _authority(
    kit: ServiceKit[MetadataSettings], author: Author, manifest: AclManifest
) -> Sequence[Loop]:
    # The rights in force and who is revoked are in OpenBao, which need not be there yet: till then
    # nobody gets anything.
    acls = AclSource(None, revoked=None)
    instances = InstanceKeys(kit.store, kit.clock)
    audit = AuditLog(kit.store, author, kit.clock)
    times = LeaseTimes.of(kit.settings.rotation)
    journal = JournalKeeper(kit.store, kit.instance, audit, kit.clock, times)
    follower, rights = _rights(kit, manifest, acls, journal, audit)
    ledgers = LedgerKeeper(AuditedStore(kit.store, audit, "ledger"), lambda: journal.term)
    generations = KeyKeeper(AuditedStore(kit.store, audit, "keys"), TransitKeyWrap(kit.session))
    keys = KeyIssuance(generations, ledgers, instances, acls, kit.around, rights.refresh)
    bundles, responder = _bundles(kit, author, acls, instances, keys)
    fleet = FleetWatch(kit.bus, instances, kit.around)
    announcer = _announcer(kit, author)
    canaries, metrics = NatsCanary(kit.settings.nats.servers), IssuanceMetrics(kit.metrics)
    tools = RotationTools(
        journal,
        OpenBaoIssuerMint(PkiEngine(kit.session), kit.settings.rotation, kit.clock),
        fleet,
        announcer,
        CanaryProof(kit.issuing, canaries, client_spec(kit.settings, CANARY)),
        audit,
        _roots(kit, journal, metrics),
        kit.settings.when_silent,
    )
    rotator = CaRotator(tools, acls, kit.around, metrics)
    access = AccessEnding(OpenBaoAccessorRegistry(kit.session), OpenBaoTokenRegistry(kit.session))
    adoption = Adoption(fleet, kit.reader, kit.around)
    orders = KeyOrders(ledgers, keys, instances, OrderTools(access, bundles, adoption), SERVICES)
    _expect(kit)
    acls.wake(rotator.hinted, keys.hinted)
    journal.wake(keys.hinted)
    return [
        follower,
        rights,
        rotator,
        keys,
        announcer,
        responder,
        bundles,
        BundleAnnouncer(keys, kit.connection, author, kit.around),
        *_commands(kit, orders, rotator, journal, audit),
        _janitor(kit),
        StatusListener(kit.bus, fleet),
        OutlookKeeper(kit.store, rotator, kit.instance, kit.around, kit.settings.when_silent),
    ]


def _announcer(kit: ServiceKit[MetadataSettings], author: Author) -> Announcer:
    streams = Streams(
        JetStreamDeclaration(kit.connection),
        kit.settings.replicas,
        declared_streams(kit.settings.stream_bytes),
    )
    signatory = Signatory(author, kit.statements)
    return Announcer(kit.store, kit.bus, signatory, streams, kit.follower.hinted, kit.around)


def _expect(kit: ServiceKit[MetadataSettings]) -> None:
    for name in (CaRotator.name, Announcer.name, BundleAnnouncer.name, RightsKeeper.name):
        kit.health.expect(name, _LOOP_BUDGET)
    kit.health.expect(AclFollower.name, _ACL_BUDGET)
    kit.health.expect(CommandFollower.name, _COMMAND_BUDGET)
    # Issued once per lead, so that two missed leads show.
    kit.health.expect(KeyIssuance.name, 2 * kit.settings.rotation.keys.period + _LOOP_BUDGET)


def _roots(
    kit: ServiceKit[MetadataSettings], journal: JournalKeeper, metrics: IssuanceMetrics
) -> RootKeeper:
    mint = OpenBaoRootMint(PkiEngine(kit.session), kit.settings.rotation)
    return RootKeeper(journal, mint, kit.settings.trust_mode, kit.around, metrics)


def _rights(
    kit: ServiceKit[MetadataSettings],
    manifest: AclManifest,
    acls: AclSource,
    journal: JournalKeeper,
    audit: AuditLog,
) -> tuple[AclFollower, RightsKeeper]:
    store, metrics = AuditedStore(kit.store, audit, "rights"), ManifestMetrics(kit.metrics)
    keeper = RightsKeeper(store, acls, lambda: journal.term, kit.around, metrics)
    journal.wake(keeper.hinted)
    return AclFollower(manifest, keeper, SERVICES, kit.health, metrics), keeper


def _bundles(
    kit: ServiceKit[MetadataSettings],
    author: Author,
    acls: AclSource,
    instances: InstanceKeys,
    keys: KeyIssuance,
) -> tuple[BundleKeeper, BundleResponder]:
    assembler = BundleAssembler(kit.around)
    tools = BundleTools(assembler, BundleSealer(author, kit.entropy), kit.statements)
    keeper = BundleKeeper(kit.store, keys, instances, tools, kit.around)
    keys.wake(keeper.hinted)
    kit.pinned.wake(keeper.hinted)
    # It looks once per lead.
    kit.health.expect(BundleKeeper.name, kit.settings.rotation.keys.period + _LOOP_BUDGET)
    answering = ResponderTools(author, assembler, keeper.note_pull)
    return keeper, BundleResponder(kit.bus, keys, instances, acls, answering, kit.around)


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
    kit: ServiceKit[MetadataSettings],
    orders: KeyOrders,
    rotator: CaRotator,
    journal: JournalKeeper,
    audit: AuditLog,
) -> Sequence[Loop]:
    operator = Statements([read_operator_identity(kit.settings.trust)])
    issuers, roots = IssuerOrders(rotator, kit.around), RootOrders(rotator)
    kinds = audited({**orders.kinds, **issuers.kinds, **roots.kinds}, audit)

    def is_holder() -> bool:
        return journal.term is not None

    return [
        CommandFollower(kit.store, operator, kinds, kit.instance, is_holder, kit.around),
        CommandPruner(kit.store, is_holder, kit.around),
    ]


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
    # Whoever signs under a removed identity is refused by everybody, and must not hold the lease.
    kit.pinned.required = kit.instance
    return Author(kit.instance, kit.signer)
