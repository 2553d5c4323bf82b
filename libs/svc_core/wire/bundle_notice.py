"""The notice that a service has a newer bundle: signed by the authority, and no more than a hint.

Whoever hears it asks for the bundle, which proves itself; so nothing in a notice is acted on.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from svc_core.domain.identity import ServiceName
from svc_core.wire.documents import Int64, decode_json, encode_json
from svc_core.wire.fields import read_instant, read_service, require, write_instant

FORMAT: Final = "bundle-notice/1"


@dataclass(frozen=True, slots=True)
class BundleNotice:
    """Who has a newer bundle, and of which version."""

    service: ServiceName
    version: int
    made_at: datetime


class _Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    service: str
    version: Int64
    made_at: str


def encode(notice: BundleNotice) -> bytes:
    """Return ``notice`` as canonical JSON, the body of a signed document."""
    return encode_json(
        _Notice(FORMAT, notice.service, notice.version, write_instant(notice.made_at))
    )


def decode(body: bytes) -> BundleNotice:
    """Return the notice in ``body``, whose signature has been checked before.

    Raises:
        MalformedMessageError: no notice.
    """
    document = decode_json(body, _Notice)
    require(document.format == FORMAT, "unknown format of a notice")
    require(document.version >= 0, "the version is negative")
    return BundleNotice(
        read_service(document.service), document.version, read_instant(document.made_at)
    )
