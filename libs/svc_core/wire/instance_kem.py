"""The key bundles are sealed to, as its instance registers it: signed with its identity.

A token of its service is enough to write where it lies, so only the signature says whose key it is.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.wire.documents import decode_json, encode_json, read_base64
from svc_core.wire.fields import (
    read_instance,
    read_instant,
    read_service,
    require,
    write_instant,
)

FORMAT: Final = "instance-kem/1"
ALGORITHM: Final = "ML-KEM-1024"
"""Of every registered key: bundles at rest are few, so the strongest costs nothing."""
PUBLIC_SIZE: Final = 1568


@dataclass(frozen=True, slots=True)
class InstanceKem:
    """One instance's ML-KEM-1024 key."""

    service: ServiceName
    instance: InstanceName
    public: bytes = field(repr=False)
    """1,568 bytes."""
    made_at: datetime
    """When it was registered, by the clock of the instance."""


class _Kem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    service: str
    instance: str
    algorithm: str
    public: str
    made_at: str


def encode(kem: InstanceKem) -> bytes:
    """Return ``kem`` as canonical JSON, the body of a signed document."""
    return encode_json(
        _Kem(
            format=FORMAT,
            service=kem.service,
            instance=kem.instance,
            algorithm=ALGORITHM,
            public=b64encode(kem.public).decode(),
            made_at=write_instant(kem.made_at),
        )
    )


def decode(body: bytes) -> InstanceKem:
    """Return the key in ``body``, whose signature has been checked before.

    Raises:
        MalformedMessageError: no registration, or one of another kind of key.
    """
    document = decode_json(body, _Kem)
    require(document.format == FORMAT, "unknown format of a registration")
    require(document.algorithm == ALGORITHM, "a registered key of another algorithm")
    public = read_base64(document.public)
    require(len(public) == PUBLIC_SIZE, "the KEM key has the wrong size")
    return InstanceKem(
        read_service(document.service),
        read_instance(document.instance),
        public,
        read_instant(document.made_at),
    )
