"""The loops every service runs: its identity, certificates, connection, keys, listener, status."""

from datetime import timedelta
from typing import Any

from svc_core.adapters.admin_http import AdminListener, StatusPage
from svc_core.adapters.mounted_files import MountedFilesWatch
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.crypto.certificates import fingerprint
from svc_core.domain.identity import OPERATOR
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import CA_CERT, bundle_push
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.flows.bundle_following import BundleFollower, Recipient
from svc_core.flows.bundle_recovery import BundleRecovery, Owner
from svc_core.flows.ca_following import CaFollower
from svc_core.flows.leaf_issuing import LeafSpec
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.flows.registration import Registration
from svc_core.flows.status_reporting import Observe, Reporter, StatusReporter
from svc_core.kit.service_kit import ServiceKit
from svc_core.runtime.listening import HintListener
from svc_core.runtime.status_page import Status, StatusSources
from svc_core.runtime.supervision import Loop
from svc_core.runtime.tls_watching import TlsWatch


def own_loops(kit: ServiceKit[Any]) -> list[Loop]:
    """Return the loops that the kit runs beside those of its service."""
    settings = kit.settings
    admin = kit.follow(
        LeafSpec(
            role=f"{kit.service}-admin",
            dns=settings.admin.dns_names,
            ips=settings.admin.ip_addresses,
            server=True,
        )
    )
    observe = _observer(kit)
    budget = max(3 * settings.rotation.heartbeat, timedelta(seconds=10))
    loops: list[Loop] = [
        _registration(kit),
        kit.pinned,
        kit.follower,
        kit.connection,
        _admin_listener(kit, admin, observe),
        TlsWatch(kit.leaves, kit.health),
        AppRoleRenewal(
            kit.session,
            settings.openbao.secret_id_period,
            kit.health,
            AccessorClaims(kit.store, kit.service, kit.instance),
        ),
        _reporter(kit, observe),
    ]
    if settings.mounted_tls_dir is not None:
        loops.append(MountedFilesWatch(settings.mounted_tls_dir, kit.renew_own))
    if kit.hears_hints:
        loops.append(HintListener("ca_hints", kit.bus, CA_CERT, kit.follower.hinted))
    for loop in (Registration.name, CaFollower.name, StatusReporter.name):
        kit.health.expect(loop, budget)
    if kit.uses_keys:
        loops += _key_loops(kit)
    return loops


def _registration(kit: ServiceKit[Any]) -> Loop:
    # Who needs no keys is sent no bundle, so nobody seals one to it.
    kem = kit.state.kem.public if kit.uses_keys else b""
    registration = Registration(kit.store, kit.service, kit.instance, kit.author, kit.around, kem)
    registration.on_registered = kit.state.forget_former
    return registration


def _key_loops(kit: ServiceKit[Any]) -> list[Loop]:
    bundles = BundleFollower(
        Recipient(kit.service, kit.instance, kit.author),
        kit.bus,
        kit.channel,
        kit.statements,
        kit.around,
        BundleRecovery(
            Owner(kit.service, kit.instance, kit.state.kem),
            PartedDocuments(kit.store),
            kit.statements,
            kit.state.newest_bundle,
        ),
    )
    # Whoever waits for everybody to have newer keys should not wait for a heartbeat.
    bundles.adopted = kit.follower.acknowledged
    # Two periods: one missed pull is mended by the next, or by the first message that needs it.
    kit.health.expect(BundleFollower.name, 2 * kit.settings.rotation.keys.period)
    return [
        bundles,
        HintListener("bundle_hints", kit.bus, bundle_push(kit.service), bundles.hinted),
    ]


def _admin_listener(kit: ServiceKit[Any], leaf: TlsIdentity, observe: Observe) -> AdminListener:
    settings = kit.settings.admin
    readers = settings.status_readers or (kit.settings.deployment.spiffe_id(OPERATOR),)
    sources = StatusSources(
        around=kit.around,
        instance=observe,
        desired=lambda: kit.reader.newest,
        leaves=kit.leaves,
        admin_connections=lambda: listener.connections,
        errors=kit.errors,
    )
    page = StatusPage(frozenset(readers), Status(sources).describe)
    listener = AdminListener(settings, leaf.hot_context, kit.health, kit.metrics, page)
    return listener


def _observer(kit: ServiceKit[Any]) -> Observe:
    boot_id = kit.entropy(8).hex()

    def observe() -> InstanceStatus:
        return kit.extend_status(
            InstanceStatus(
                service=kit.service,
                instance=kit.instance,
                boot_id=boot_id,
                sent_at=kit.clock.now(),
                version=kit.follower.version,
                issuer=kit.connection.issuer,
                key_epoch=key_epoch(kit),
                profile=kit.settings.profile,
                bundle_version=kit.channel.version,
                leaf=_fingerprint(kit.connection.leaf_in_use),
            )
        )

    return observe


def _reporter(kit: ServiceKit[Any], observe: Observe) -> StatusReporter:
    reporter = Reporter(kit.service, kit.instance, observe().boot_id, kit.author)
    kit.connection.on_silence = kit.follower.acknowledged.set
    return StatusReporter(reporter, observe, kit.follower.acknowledged, kit.bus, kit.around)


def _fingerprint(chain_pem: str) -> str:
    return fingerprint(chain_pem) if chain_pem else ""


def key_epoch(kit: ServiceKit[Any]) -> int:
    """Return the newest epoch that there are keys of; 0 before the first bundle."""
    return kit.channel.ring.newest_epoch if kit.channel.version else 0
