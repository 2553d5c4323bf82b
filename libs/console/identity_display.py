"""What is printed of the list of Metadata's identities."""

import hashlib
import json
import sys
from typing import Final

from svc_core.wire.identities import PublicIdentity, SignedIdentities

_SHOWN: Final = 16


def print_list(signed: SignedIdentities, *, as_json: bool) -> None:
    """Print ``signed`` on standard output, each key by its SHA-256."""
    if as_json:
        sys.stdout.write(json.dumps(as_document(signed), indent=2) + "\n")
        return
    lines = [f"version {signed.version}"]
    lines += [f"signs    {_line(identity)}" for identity in signed.identities]
    lines += [f"former   {_line(identity)}" for identity in signed.former]
    sys.stdout.write("\n".join(lines) + "\n")


def as_document(signed: SignedIdentities) -> dict[str, object]:
    """Return ``signed`` for ``--json``: ``{"version", "identities", "former"}``."""
    return {
        "version": signed.version,
        "identities": [_entry(identity) for identity in signed.identities],
        "former": [_entry(identity) for identity in signed.former],
    }


def _entry(identity: PublicIdentity) -> dict[str, str]:
    digest = hashlib.sha256(identity.public).hexdigest()
    return {"id": identity.id, "algorithm": identity.algorithm, "sha256": digest}


def _line(identity: PublicIdentity) -> str:
    digest = hashlib.sha256(identity.public).hexdigest()[:_SHOWN]
    return f"{identity.id}  {identity.algorithm}  sha256:{digest}"
