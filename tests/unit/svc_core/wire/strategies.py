"""Hypothesis strategies for every value that is sent or stored, by the name of its codec."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from hypothesis import strategies as st

from svc_core.domain.audit import CHECKPOINT, AuditEntry
from svc_core.domain.batch_proof import BatchProof
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.desired import (
    CutLeaf,
    DesiredState,
    TopicGrant,
    TrustedIssuer,
    TrustMode,
)
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import InstanceName, ServiceName, Subject
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, TopicPermission, VerifyKey
from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.operator_command import OperatorCommand
from svc_core.domain.replays import ReplayMark
from svc_core.domain.sealed import Sealed
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.wire.bundle_exchange import BundleReply, SignedRequest
from svc_core.wire.bundle_notice import BundleNotice
from svc_core.wire.dead_letter import DeadLetter
from svc_core.wire.documents import SignedDocument
from svc_core.wire.identities import LATEST, PublicIdentity, SignedIdentities
from svc_core.wire.instance_kem import InstanceKem
from svc_core.wire.key_records import PUBLIC_SIZES
from svc_core.wire.signed_message import SignedMessage
from svc_core.wire.stored_bundle import StoredBundle
from tests.vectors.wire_codecs import STATUS_SIGNER
from tests.vectors.wire_values import drawn

LARGEST = 2**63 - 1

texts = st.text(max_size=20)
blobs = st.binary(max_size=40)
instants = st.datetimes(timezones=st.just(UTC))
counts = st.integers(0, LARGEST)
epochs = counts.map(Epoch)
fingerprints = st.binary(min_size=32, max_size=32).map(bytes.hex)
tokens = st.text("".join(map(chr, range(0x21, 0x7F))), min_size=1, max_size=200)
services = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True).map(ServiceName)
instances = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).map(InstanceName)
subjects = st.lists(
    st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=4
).map(lambda parts: Subject(".".join(parts)))
algorithms = st.sampled_from(sorted(PUBLIC_SIZES))


def exactly(size: int) -> st.SearchStrategy[bytes]:
    """Return bytes of one size; those of long ones depend on one number only."""
    if size > 64:
        return st.integers(0, 999).map(lambda number: drawn(str(number), size))
    return st.binary(min_size=size, max_size=size)


secrets = exactly(32).map(SecretBytes)
proofs = st.integers(2, 64).flatmap(
    lambda size: st.builds(
        BatchProof,
        st.just(size),
        st.integers(0, size - 1),
        exactly(32),
        st.lists(exactly(32), min_size=1, max_size=6).map(b"".join),
    )
)
signing_keys = st.builds(SigningKey, services, epochs, algorithms, secrets, instants, instants)
verify_keys = algorithms.flatmap(
    lambda name: st.builds(
        VerifyKey, services, epochs, st.just(name), exactly(PUBLIC_SIZES[name]), instants, instants
    )
)
topic_keys = st.builds(TopicKey, tokens, subjects, epochs, secrets, instants, instants)


@st.composite
def dead_letters(draw: st.DrawFn) -> DeadLetter:
    payload = draw(blobs)
    return DeadLetter(
        *draw(st.tuples(texts, texts, texts, numbers)),
        payload,
        payload_size=len(payload) + draw(st.integers(0, 9)),
        headers=draw(st.dictionaries(texts, texts, max_size=3)),
        deliveries=draw(st.integers(0, 300)),
        refused_at=draw(st.none() | instants),
        refused_by=draw(texts),
    )


@st.composite
def signed_messages(draw: st.DrawFn) -> SignedMessage:
    epoch = draw(counts)
    return SignedMessage(
        message_id=draw(tokens),
        message_type=draw(tokens),
        ca_epoch=draw(counts),
        key_epoch=epoch,
        signer=draw(services),
        signer_key_id=epoch,
        sent_at=draw(instants),
        signature=draw(blobs),
        topic=draw(subjects),
        encrypt_key_id=draw(tokens),
        payload_type=draw(tokens),
        payload=draw(blobs),
        algorithm=draw(tokens),
        batch_proof=draw(st.none() | proofs),
    )


@st.composite
def bundles(draw: st.DrawFn) -> ServiceBundle:
    service = draw(services)
    own = st.builds(SigningKey, st.just(service), epochs, algorithms, secrets, instants, instants)
    permissions = st.builds(TopicPermission, subjects, st.booleans(), st.booleans())
    ring = KeyRing.of(
        service,
        signing=draw(st.lists(own, max_size=3)),
        verify=draw(st.lists(verify_keys, max_size=3)),
        topics=draw(st.lists(topic_keys, max_size=3)),
        permissions=draw(st.lists(permissions, max_size=3)),
        producers=draw(st.dictionaries(subjects, st.frozensets(services, max_size=3), max_size=3)),
    )
    version = draw(st.integers(0, 10**18 - 1))
    life = draw(instants), draw(instants)
    return ServiceBundle(service, version, draw(counts), draw(tokens), *life, ring)


@st.composite
def desired_states(draw: st.DrawFn) -> DesiredState:
    issuers = draw(
        st.lists(
            st.builds(TrustedIssuer, tokens, counts, texts, texts, instants),
            min_size=1,
            max_size=3,
            unique_by=lambda issuer: issuer.name,
        )
    )
    topics = st.lists(subjects, max_size=3).map(tuple)
    root_pem = draw(texts)
    # There is no chain without a root.
    modes = list(TrustMode) if root_pem else [TrustMode.INTERMEDIATES]
    return DesiredState(
        version=draw(st.integers(1, LARGEST)),
        profile=draw(tokens),
        active=draw(st.sampled_from([issuer.name for issuer in issuers])),
        issuers=tuple(issuers),
        root_pem=root_pem,
        trust_mode=draw(st.sampled_from(modes)),
        grants=draw(st.dictionaries(services, st.builds(TopicGrant, topics, topics), max_size=3)),
        kicked_issuers=draw(st.lists(tokens, max_size=3).map(tuple)),
        made_at=draw(instants),
        cut_leaves=draw(
            st.lists(st.builds(CutLeaf, services, fingerprints), max_size=3).map(tuple)
        ),
        fenced=draw(st.lists(tokens, max_size=3).map(tuple)),
    )


numbers = st.integers(-LARGEST - 1, LARGEST)
signer_service, _, signer_instance = STATUS_SIGNER.partition("/")
identity = algorithms.flatmap(
    lambda name: st.builds(PublicIdentity, tokens, st.just(name), exactly(PUBLIC_SIZES[name]))
)

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "signed message": signed_messages(),
    "bundle request": st.builds(
        SignedRequest,
        st.builds(BundleRequest, services, instances, exactly(1568), exactly(32), instants),
        blobs,
    ),
    "bundle reply": st.builds(
        BundleReply,
        service=services,
        instance=instances,
        nonce=exactly(32),
        version=counts,
        encapsulation=exactly(1568),
        sealed=blobs,
        signer=tokens,
        signature=blobs,
    ),
    "stored bundle": st.builds(
        StoredBundle,
        service=services,
        instance=instances,
        version=counts,
        expires_at=instants,
        recipient_key=exactly(32),
        encapsulation=exactly(1568),
        sealed=blobs,
        signer=tokens,
        signature=blobs,
    ),
    "service bundle": bundles(),
    "signing key": signing_keys,
    "verify key": verify_keys,
    "topic key": topic_keys,
    "signed document": st.builds(SignedDocument, blobs, tokens, blobs),
    "authentication request": st.builds(AuthenticationRequest, texts, texts, st.none() | texts),
    "authentication response": st.builds(
        AuthenticationResponse,
        oid=texts,
        user_token=texts,
        password_hash=texts,
        identity_token=texts,
        identity_key=blobs.map(SecretBytes),
        identity_iv=blobs,
        authorization_token=texts,
        authorization_key=blobs.map(SecretBytes),
        authorization_iv=blobs,
        account_status=texts,
        member_level=texts,
    ),
    "dead letter": dead_letters(),
    "framing": st.builds(Sealed, exactly(32), exactly(12), exactly(16), blobs),
    "batch proof": proofs,
    "desired state": desired_states(),
    "status": st.builds(
        InstanceStatus,
        service=st.just(ServiceName(signer_service)),
        instance=st.just(InstanceName(signer_instance)),
        boot_id=tokens,
        sent_at=instants,
        version=numbers,
        issuer=texts,
        key_epoch=numbers,
        profile=tokens,
        servers=st.lists(
            st.builds(ServerStatus, texts, numbers, texts, texts, numbers), max_size=3
        ).map(tuple),
        connections=st.dictionaries(texts, numbers, max_size=3),
        leaf=st.just("") | fingerprints,
    ),
    "operator command": st.builds(
        OperatorCommand,
        tokens.filter(lambda token: "/" not in token),
        tokens,
        st.dictionaries(tokens, tokens, max_size=3),
        instants,
        instants,
    ),
    "instance kem": st.builds(InstanceKem, services, instances, exactly(1568), instants),
    "bundle notice": st.builds(BundleNotice, services, counts, instants),
    "replay mark": st.builds(
        ReplayMark, st.integers(1, LARGEST), st.integers(1, LARGEST), st.booleans(), instants
    ),
    "audit entry": st.integers(1, LARGEST).flatmap(
        lambda number: st.builds(
            AuditEntry,
            st.just(number),
            instants,
            tokens,
            tokens.filter(lambda kind: kind != CHECKPOINT),
            texts,
            st.dictionaries(texts, texts, max_size=3),
            st.none() | st.integers(0, number - 1),
        )
    ),
    "identities": st.builds(
        SignedIdentities,
        st.lists(identity, min_size=1, max_size=3, unique_by=lambda i: i.id).map(tuple),
        blobs,
    )
    | st.lists(identity, min_size=2, max_size=4, unique_by=lambda i: i.id).flatmap(
        lambda listed: st.builds(
            SignedIdentities,
            st.just(tuple(listed[:1])),
            blobs,
            st.integers(1, LATEST),
            st.just(tuple(listed[1:])),
        )
    ),
}
