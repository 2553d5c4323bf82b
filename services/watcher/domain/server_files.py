"""The files one NATS server runs with, made from the desired state and its certificates."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from svc_core.domain.desired import DesiredState
from svc_core.domain.identity import Deployment
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.tls import TlsMaterial

MATERIAL_TAG: Final = "material:"


@dataclass(frozen=True, slots=True)
class ServerCertificates:
    """The two identities of a node: towards clients and towards the other nodes."""

    server: TlsMaterial
    route: TlsMaterial


def server_files(
    desired: DesiredState, certificates: ServerCertificates, deployment: Deployment
) -> Mapping[str, bytes]:
    """Return every file of a live directory by name.

    ``accounts.conf`` also carries the digest of the whole set as a server tag, which a server
    repeats in its monitoring: so it says itself which set it has loaded.
    """
    files = {
        "ca.pem": desired.server_trust_pem.encode(),
        "route-ca.pem": desired.route_trust_pem.encode(),
        "accounts.conf": render_accounts(desired.grants, deployment).encode(),
        "server.pem": certificates.server.chain_pem.encode(),
        "server-key.pem": certificates.server.key_pem.reveal(),
        "route.pem": certificates.route.chain_pem.encode(),
        "route-key.pem": certificates.route.key_pem.reveal(),
    }
    tag = f'server_tags: ["{MATERIAL_TAG}{digest(files)}"]\n'.encode()
    return files | {"accounts.conf": tag + files["accounts.conf"]}


def trust_files(desired: DesiredState) -> Mapping[str, bytes]:
    """Return the trust directory that clients and operators read: issuers and roots, apart."""
    return {"ca.pem": desired.trust_pem.encode(), "root.pem": desired.root_pem.encode()}


def digest(files: Mapping[str, bytes]) -> str:
    """Return a SHA-256 over names and contents, in hex; it says nothing of a key in them."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(len(name).to_bytes(4, "big") + name.encode())
        total.update(len(files[name]).to_bytes(8, "big") + files[name])
    return total.hexdigest()
