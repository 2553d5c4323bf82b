"""`InstanceStatus` as canonical JSON, the body of a document signed by the instance itself."""

from typing import Final

import msgspec

from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.wire.audit import read_digest
from svc_core.wire.documents import Int64, decode_json, encode_json
from svc_core.wire.fields import (
    read_instance,
    read_instant,
    read_service,
    read_token,
    require,
    write_instant,
)

FORMAT: Final = "instance-status/1"


class _Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    version: Int64
    issuer: str
    error: str
    failed_at: Int64 = 0


class _Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    service: str
    instance: str
    boot_id: str
    sent_at: str
    version: Int64
    issuer: str
    key_epoch: Int64
    profile: str
    servers: list[_Server]
    connections: dict[str, Int64]
    bundle_version: Int64 = 0
    leaf: str = ""


def signer_of(service: ServiceName, instance: InstanceName) -> str:
    """Return ``<service>/<instance>``, the signer id of an instance's documents."""
    return f"{service}/{instance}"


def encode(status: InstanceStatus) -> bytes:
    """Return ``status`` as canonical JSON, the body of a signed document."""
    return encode_json(
        _Status(
            format=FORMAT,
            service=status.service,
            instance=status.instance,
            boot_id=status.boot_id,
            sent_at=write_instant(status.sent_at),
            version=status.version,
            issuer=status.issuer,
            key_epoch=status.key_epoch,
            profile=status.profile,
            servers=[
                _Server(s.name, s.version, s.issuer, s.error, s.failed_at) for s in status.servers
            ],
            connections=dict(status.connections),
            bundle_version=status.bundle_version,
            leaf=status.leaf,
        )
    )


def decode(body: bytes, *, signer: str) -> InstanceStatus:
    """Return the status in ``body``, whose signature has been checked before.

    Args:
        body: as signed.
        signer: the document's signer; a status speaks for its own instance only.

    Raises:
        MalformedMessageError: no status, or one of another instance than ``signer``.
    """
    document = decode_json(body, _Status)
    require(document.format == FORMAT, "unknown format of a status")
    service, instance = read_service(document.service), read_instance(document.instance)
    require(signer_of(service, instance) == signer, "a status speaks for its signer only")
    return InstanceStatus(
        service=service,
        instance=instance,
        boot_id=read_token(document.boot_id, "boot id"),
        sent_at=read_instant(document.sent_at),
        version=document.version,
        issuer=document.issuer,
        key_epoch=document.key_epoch,
        profile=read_token(document.profile, "profile"),
        servers=tuple(
            ServerStatus(s.name, s.version, s.issuer, s.error, s.failed_at)
            for s in document.servers
        ),
        connections=document.connections,
        bundle_version=document.bundle_version,
        leaf=read_digest(document.leaf).hex() if document.leaf else "",
    )
