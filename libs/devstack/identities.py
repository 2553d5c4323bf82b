"""What is pinned out of band: the operator's key, and Metadata's keys in a list it signed.

Metadata's seed is provisioned from the operator's side, since its public half must be in that
list before Metadata first starts.
"""

import base64
import os
from pathlib import Path
from typing import Final

from devstack.layout import Layout
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
_ALGORITHM: Final = Algorithm.ML_DSA_87
_SEED_FILE: Final = "identity.seed"


def ensure_pinned_identities(layout: Layout) -> None:
    """Make the operator's and Metadata's identities where absent, and the list that pins them."""
    operator = _signer(make_private_directory(layout.operator) / _SEED_FILE)
    make_private_directory(layout.service(METADATA))
    state = make_private_directory(layout.service(METADATA) / "state")
    metadata = _signer(state / _SEED_FILE)
    layout.pinned.mkdir(parents=True, exist_ok=True)
    _write_public(layout.operator_key, base64.b64encode(operator.public) + b"\n")
    identity = PublicIdentity(METADATA_INSTANCE, _ALGORITHM, metadata.public)
    if not _is_pinned(layout.metadata_identities, identity, operator):
        identities = (identity,)
        signature = operator.sign(signing_input(identities), context=IDENTITY_LIST)
        content = encode(SignedIdentities(identities, signature))
        _write_public(layout.metadata_identities, content)


def _signer(path: Path) -> Signer:
    if not path.exists():
        write_private(path, os.urandom(SEED_SIZE))
    return Signer.from_seed(_ALGORITHM, SecretBytes(path.read_bytes()))


def _is_pinned(path: Path, identity: PublicIdentity, operator: Signer) -> bool:
    try:
        signed = decode(path.read_bytes())
        verifier = Verifier.from_public(_ALGORITHM, operator.public)
        verifier.verify(signed.signature, signing_input(signed.identities), context=IDENTITY_LIST)
    except (FileNotFoundError, RejectedError):
        return False
    return identity in signed.identities


def _write_public(path: Path, content: bytes) -> None:
    write_private(path, content)
    path.chmod(0o644)
