"""What is pinned out of band: the operator's key, and Metadata's keys in a list it signed.

Metadata's seed is provisioned from the operator's side, since its public half must be in that
list before Metadata first starts.
"""

import base64
import os
from pathlib import Path
from typing import Final

from devstack.layout import Layout, metadata_replicas
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.crypto.contexts import IDENTITY_LIST
from svc_core.crypto.signing import SEED_SIZE, Algorithm, Signer, Verifier
from svc_core.domain.identity import METADATA
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import RejectedError
from svc_core.wire.identities import (
    PublicIdentity,
    SignedIdentities,
    decode,
    encode,
    signing_input,
)

METADATA_INSTANCE: Final = "metadata-1"
"""Instance of the first replica; the others are called like their directories."""
_ALGORITHM: Final = Algorithm.ML_DSA_87
_SEED_FILE: Final = "identity.seed"


def ensure_pinned_identities(layout: Layout, *, replicas: int = 1) -> None:
    """Make the operator's and Metadata's identities where absent, and the list that pins them.

    Args:
        layout: where they go.
        replicas: how many of Metadata there are at least; a list that has more keeps them.
    """
    operator = _signer(make_private_directory(layout.operator) / _SEED_FILE)
    wanted = tuple(_replica(layout, name) for name in metadata_replicas(replicas))
    layout.pinned.mkdir(parents=True, exist_ok=True)
    _write_public(layout.operator_key, base64.b64encode(operator.public) + b"\n")
    if not set(wanted) <= set(_pinned(layout.metadata_identities, operator)):
        signature = operator.sign(signing_input(wanted), context=IDENTITY_LIST)
        content = encode(SignedIdentities(wanted, signature))
        _write_public(layout.metadata_identities, content)


def instance_of(replica: str) -> str:
    """Return the instance name of one replica of Metadata, as the list has it."""
    return METADATA_INSTANCE if replica == METADATA else replica


def _replica(layout: Layout, name: str) -> PublicIdentity:
    make_private_directory(layout.service(name))
    state = make_private_directory(layout.service(name) / "state")
    return PublicIdentity(instance_of(name), _ALGORITHM, _signer(state / _SEED_FILE).public)


def _signer(path: Path) -> Signer:
    if not path.exists():
        write_private(path, os.urandom(SEED_SIZE))
    return Signer.from_seed(_ALGORITHM, SecretBytes(path.read_bytes()))


def _pinned(path: Path, operator: Signer) -> tuple[PublicIdentity, ...]:
    try:
        signed = decode(path.read_bytes())
        verifier = Verifier.from_public(_ALGORITHM, operator.public)
        verifier.verify(signed.signature, signing_input(signed.identities), context=IDENTITY_LIST)
    except (FileNotFoundError, RejectedError):
        return ()
    return signed.identities


def _write_public(path: Path, content: bytes) -> None:
    write_private(path, content)
    path.chmod(0o644)
