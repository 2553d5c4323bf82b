"""The values behind the wire vectors: small, fixed, and every field of them different."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.audit import AuditEntry, Checkpoint
from svc_core.domain.batch_proof import BatchProof
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.desired import DesiredState, TopicGrant, TrustedIssuer
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER, InstanceName
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, TopicPermission, VerifyKey
from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.operator_command import OperatorCommand
from svc_core.domain.replays import ReplayMark
from svc_core.domain.sealed import Sealed
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.wire.bundle_notice import BundleNotice
from svc_core.wire.dead_letter import DeadLetter
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.signed_message import SignedMessage

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
EPOCH = Epoch(88_368_612)
INSTANCE = InstanceName("gatekeeper-1")


def drawn(label: str, size: int = 32) -> bytes:
    """Return ``size`` bytes that depend on ``label`` only."""
    return hashlib.shake_256(b"wire vectors/" + label.encode()).digest(size)


def signer(label: str, algorithm: Algorithm) -> Signer:
    """Return the key pair that belongs to ``label``."""
    return Signer.from_seed(algorithm, SecretBytes(drawn(label)))


SIGNING_KEY = SigningKey(
    GATEKEEPER,
    EPOCH,
    "ML-DSA-65",
    SecretBytes(drawn("signing seed")),
    NOW,
    NOW + timedelta(seconds=80),
)
VERIFY_KEY = VerifyKey(
    AUTHCONTROLLER,
    EPOCH,
    "ML-DSA-44",
    signer("verify seed", Algorithm.ML_DSA_44).public,
    NOW,
    NOW + timedelta(seconds=80),
)
TOPIC_KEYS = tuple(
    TopicKey(
        f"{topic}-epoch-{EPOCH}",
        topic,
        EPOCH,
        SecretBytes(drawn(topic)),
        NOW,
        NOW + timedelta(seconds=80),
    )
    for topic in (RESPONDER, AUTH_REQUEST)
)
BUNDLE = ServiceBundle(
    service=GATEKEEPER,
    version=7,
    key_epoch=EPOCH.number,
    profile="demo",
    created_at=NOW,
    expires_at=NOW + timedelta(seconds=80),
    ring=KeyRing.of(
        GATEKEEPER,
        signing=[SIGNING_KEY],
        verify=[VERIFY_KEY],
        topics=TOPIC_KEYS,
        permissions=[
            TopicPermission(RESPONDER, produce=False, consume=True),
            TopicPermission(AUTH_REQUEST, produce=True, consume=False),
        ],
        producers={
            RESPONDER: frozenset({AUTHCONTROLLER, WATCHER}),
            AUTH_REQUEST: frozenset({GATEKEEPER}),
        },
    ),
)
DESIRED = DesiredState(
    version=3,
    profile="demo",
    active="ca-100-1",
    issuers=(
        TrustedIssuer("ca-101-1", 101, "pem 101\n", "route 101\n", NOW + timedelta(minutes=2)),
        TrustedIssuer("ca-100-1", 100, "pem 100\n", "route 100\n", NOW + timedelta(minutes=1)),
    ),
    root_pem="root\n",
    grants={GATEKEEPER: TopicGrant(publish=(AUTH_REQUEST,), subscribe=(RESPONDER,))},
    kicked_issuers=("ca-99-1",),
    made_at=NOW,
)
STATUS = InstanceStatus(
    service=GATEKEEPER,
    instance=INSTANCE,
    boot_id="boot-1",
    sent_at=NOW,
    version=3,
    issuer="ca-100-1",
    key_epoch=EPOCH.number,
    profile="demo",
    servers=(ServerStatus("n1", 3, "ca-100-1"), ServerStatus("n2", 2, "", "no reload")),
    connections={"ca-100-1": 4, "?": 1},
)
REQUEST = AuthenticationRequest("user-1", "c2FsdA==:aGFzaA==", "123456")
RESPONSE = AuthenticationResponse(
    oid="oid-1",
    user_token="token_user-1",
    password_hash="c2FsdA==:aGFzaA==",
    identity_token="identity_user-1",
    identity_key=SecretBytes(drawn("identity key")),
    identity_iv=drawn("identity iv", 16),
    authorization_token="authorization_user-1",
    authorization_key=SecretBytes(drawn("authorization key")),
    authorization_iv=drawn("authorization iv", 16),
    account_status="ACTIVE",
    member_level="GOLD",
)
BUNDLE_REQUEST = BundleRequest(GATEKEEPER, INSTANCE, drawn("kem", 1568), drawn("nonce"), NOW)


def message(algorithm: Algorithm, *, payload: bytes = b"", signature: bytes = b"") -> SignedMessage:
    """Return a message; without ``payload`` or ``signature`` not sealed or signed yet."""
    return SignedMessage(
        message_id="run-1-42",
        message_type="authRequest",
        ca_epoch=58_912_408,
        key_epoch=EPOCH.number,
        signer=GATEKEEPER,
        signer_key_id=EPOCH.number,
        sent_at=NOW,
        signature=signature,
        topic=AUTH_REQUEST,
        encrypt_key_id=f"{AUTH_REQUEST}-epoch-{EPOCH}",
        payload_type="authRequest",
        payload=payload,
        algorithm=algorithm,
    )


FIXED: Mapping[str, tuple[str, Any]] = {
    "service_bundle": ("service bundle", BUNDLE),
    "signing_key": ("signing key", SIGNING_KEY),
    "verify_key": ("verify key", VERIFY_KEY),
    "topic_key": ("topic key", TOPIC_KEYS[0]),
    "authentication_request": ("authentication request", REQUEST),
    "authentication_request_without_otp": (
        "authentication request",
        AuthenticationRequest("user-2", "c2FsdA==:aGFzaA=="),
    ),
    "authentication_response": ("authentication response", RESPONSE),
    "dead_letter": (
        "dead letter",
        DeadLetter(
            "message.malformed",
            "AUTH_STREAM",
            AUTH_REQUEST,
            41,
            b"refused bytes",
            payload_size=13,
            headers={"Nats-Msg-Id": "run-boot1-7", "Trace": "1"},
            deliveries=2,
            refused_at=NOW,
            refused_by=INSTANCE,
        ),
    ),
    "framing": ("framing", Sealed(drawn("salt"), drawn("iv", 12), drawn("tag", 16), b"text")),
    "batch_proof": (
        "batch proof",
        BatchProof(3, 1, drawn("blind"), drawn("sibling") + drawn("uncle")),
    ),
    "desired_state": ("desired state", DESIRED),
    "status": ("status", STATUS),
    "operator_command": (
        "operator command",
        OperatorCommand(
            "20260101T000000Z-1", "revoke", {"service": "gatekeeper"}, NOW, NOW + timedelta(hours=1)
        ),
    ),
    "instance_kem": (
        "instance kem",
        InstanceKem(GATEKEEPER, INSTANCE, drawn("instance kem", 1568), NOW),
    ),
    "bundle_notice": ("bundle notice", BundleNotice(GATEKEEPER, 88_361_280_000_007, NOW)),
    "replay_mark": ("replay mark", ReplayMark(7, 1, is_done=True, at=NOW)),
    "audit_entry": (
        "audit entry",
        AuditEntry(2, NOW, "metadata-1", "issuer.staged", "ca-7-1", {"epoch": "7"}, follows=1),
    ),
    "audit_checkpoint": (
        "audit entry",
        AuditEntry(
            3,
            NOW,
            "metadata-1",
            "audit.checkpoint",
            "",
            checkpoint=Checkpoint(1, bytes(32), "metadata-1", drawn("checkpoint", 4627)),
        ),
    ),
}
"""Codec and value by vector, for what has the same bytes every time."""
