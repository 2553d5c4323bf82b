"""Which secret-ids an instance says are its own, by their accessors, and where it says so.

An instance claims a secret-id before it logs in with it and until it has destroyed it. So what
nobody claims is either being made at this moment, or left over, or somebody else's.
"""

from collections.abc import Mapping
from typing import Final

from svc_core.domain.identity import InstanceName, ServiceName

CLAIMS_PATH: Final = "claims"

_ACCESSORS: Final = "accessors"


def claims_folder(service: ServiceName) -> str:
    """Return the folder below which the instances of ``service`` claim."""
    return f"{CLAIMS_PATH}/{service}"


def claim_path(service: ServiceName, instance: InstanceName) -> str:
    """Return where one instance claims; its service may write there and nobody else."""
    return f"{claims_folder(service)}/{instance}"


def encode(accessors: frozenset[str]) -> dict[str, object]:
    """Return the document that claims exactly ``accessors``."""
    return {_ACCESSORS: sorted(accessors)}


def decode(document: Mapping[str, object]) -> frozenset[str]:
    """Return the accessors that ``document`` claims.

    Raises:
        ValueError: it is not a claim.
    """
    accessors = document.get(_ACCESSORS)
    if not isinstance(accessors, list) or not all(isinstance(a, str) for a in accessors):
        raise ValueError("not a claim: want a list of texts under 'accessors'")
    return frozenset(accessors)
