"""Write tests/vectors/wire/*.json; `python -m tests.vectors.make_wire_vectors` makes them anew.

Everything is drawn from fixed labels but ML-DSA signatures and the ML-KEM encapsulation, which
the library takes its own randomness for: those are stored as they came, so the files that hold
them differ from run to run and are only made anew when a format changes.
"""

import sys
from dataclasses import replace

from svc_core.crypto import contexts, kdf, sealing
from svc_core.crypto.kem import KemKey, encapsulate
from svc_core.crypto.signing import Algorithm
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.keys import TopicKey
from svc_core.domain.secrets import SecretBytes
from svc_core.flows.message_crypto import encrypt
from svc_core.flows.message_signing import Unsigned, sign_together
from svc_core.wire import (
    auth,
    bundle_exchange,
    desired,
    documents,
    framing,
    identities,
    service_bundle,
    signed_message,
    status,
    stored_bundle,
)
from svc_core.wire.bundle_exchange import BundleReply, SignedRequest
from svc_core.wire.documents import SignedDocument
from svc_core.wire.identities import PublicIdentity, SignedIdentities
from svc_core.wire.prototype import Kind
from svc_core.wire.stored_bundle import StoredBundle
from tests.vectors import avro_by_hand, prototype_shapes
from tests.vectors.prototype_values import PROTOTYPE
from tests.vectors.vector_files import Vector, save
from tests.vectors.wire_codecs import CODECS, STATUS_SIGNER
from tests.vectors.wire_values import (
    BUNDLE,
    BUNDLE_REQUEST,
    DESIRED,
    EPOCH,
    FIXED,
    INSTANCE,
    NOW,
    REQUEST,
    STATUS,
    drawn,
    message,
    signer,
)

METADATA_KEY = signer("metadata identity", Algorithm.ML_DSA_87)


def fixed() -> list[Vector]:
    """Return what has the same bytes every time."""
    return [
        as_vector(name, codec, CODECS[codec].encode(value))
        for name, (codec, value) in FIXED.items()
    ]


def as_vector(name: str, codec: str, raw: bytes, **opening: object) -> Vector:
    """Return the vector of ``raw``, its fields read by hand."""
    found = CODECS[codec]
    fields = avro_by_hand.read(found.by_hand(), raw[2:]) if found.schema else {}
    return Vector(name, codec, raw, fields, opening)


def message_vector(algorithm: Algorithm) -> Vector:
    """Return a message that is signed by itself."""
    key = signer("message", algorithm)
    unsealed = message(algorithm)
    topic_key, plaintext = drawn("topic key"), auth.encode_request(REQUEST)
    sealed = sealing.seal(
        SecretBytes(topic_key),
        plaintext,
        info=kdf.labelled_info(
            contexts.SEAL_MESSAGE, unsealed.topic.encode(), unsealed.encrypt_key_id.encode()
        ),
        aad=signed_message.header_aad(unsealed),
        entropy=lambda size: drawn("message entropy", size),
    )
    payload = framing.encode(sealed)
    covered = signed_message.signing_input(signed_message.header_aad(unsealed), payload)
    signature = key.sign(covered, context=contexts.SIGNED_MESSAGE)
    return as_vector(
        f"signed_message_{algorithm[-2:]}",
        "signed message",
        signed_message.encode(message(algorithm, payload=payload, signature=signature)),
        public_key=key.public,
        topic_key=topic_key,
        plaintext=plaintext,
    )


def batched(size: int, index: int) -> Vector:
    """Return one message of a batch; all are alike but for what they were drawn with."""
    key, unsealed = signer("message", Algorithm.ML_DSA_65), message(Algorithm.ML_DSA_65)
    header = signed_message.header_aad(unsealed)
    topic_key, plaintext = drawn("topic key"), auth.encode_request(REQUEST)
    owned = TopicKey(
        unsealed.encrypt_key_id, unsealed.topic, EPOCH, SecretBytes(topic_key), NOW, NOW
    )

    def unsigned(number: int) -> Unsigned:
        payload = encrypt(
            header, plaintext, owned, entropy=lambda n: drawn(f"batch {number} entropy", n)
        )
        return Unsigned(key, unsealed, header, payload, drawn(f"batch {number} blind"))

    batch = [unsigned(number) for number in range(size)]
    signed = sign_together(batch)[index]
    if isinstance(signed, Exception):
        raise signed
    raw = signed_message.assemble(unsealed, batch[index].payload, signed.signature, signed.proof)
    return as_vector(
        f"signed_batch_{index}_of_{size}",
        "signed message",
        raw,
        public_key=key.public,
        topic_key=topic_key,
        plaintext=plaintext,
    )


def request() -> Vector:
    """Return a signed pull of a bundle."""
    key = signer("gatekeeper identity", Algorithm.ML_DSA_87)
    covered = bundle_exchange.request_signing_input(BUNDLE_REQUEST)
    signature = key.sign(covered, context=contexts.BUNDLE_REQUEST)
    raw = bundle_exchange.encode_request(SignedRequest(BUNDLE_REQUEST, signature))
    return as_vector("bundle_request", "bundle request", raw, public_key=key.public)


def reply() -> Vector:
    """Return a signed bundle, sealed under a KEM secret."""
    seed, plaintext = drawn("kem seed", 64), service_bundle.encode(BUNDLE)
    encapsulation, secret = encapsulate(KemKey.from_seed(SecretBytes(seed)).public)
    unsealed = BundleReply(
        service=GATEKEEPER,
        instance=INSTANCE,
        nonce=BUNDLE_REQUEST.nonce,
        version=BUNDLE.version,
        encapsulation=encapsulation,
        sealed=b"",
        signer="metadata-1",
    )
    sealed = sealing.seal(
        secret,
        plaintext,
        info=kdf.labelled_info(contexts.SEAL_BUNDLE, GATEKEEPER.encode(), INSTANCE.encode()),
        aad=bundle_exchange.reply_aad(unsealed),
        entropy=lambda size: drawn("reply entropy", size),
    )
    unsigned = replace(unsealed, sealed=framing.encode(sealed))
    covered = bundle_exchange.reply_signing_input(unsigned)
    signature = METADATA_KEY.sign(covered, context=contexts.BUNDLE_REPLY)
    return as_vector(
        "bundle_reply",
        "bundle reply",
        bundle_exchange.encode_reply(replace(unsigned, signature=signature)),
        public_key=METADATA_KEY.public,
        kem_seed=seed,
        plaintext=plaintext,
    )


def at_rest() -> Vector:
    """Return a signed bundle as it lies in the store, sealed to a registered key."""
    seed, plaintext = drawn("instance kem seed", 64), service_bundle.encode(BUNDLE)
    recipient = KemKey.from_seed(SecretBytes(seed))
    encapsulation, secret = encapsulate(recipient.public)
    unsealed = StoredBundle(
        service=GATEKEEPER,
        instance=INSTANCE,
        version=BUNDLE.version,
        expires_at=BUNDLE.expires_at,
        recipient_key=stored_bundle.key_digest(recipient.public),
        encapsulation=encapsulation,
        sealed=b"",
        signer="metadata-1",
    )
    sealed = sealing.seal(
        secret,
        plaintext,
        info=kdf.labelled_info(contexts.SEAL_STORED_BUNDLE, GATEKEEPER.encode(), INSTANCE.encode()),
        aad=stored_bundle.header_aad(unsealed),
        entropy=lambda size: drawn("stored bundle entropy", size),
    )
    unsigned = replace(unsealed, sealed=framing.encode(sealed))
    covered = stored_bundle.signing_input(unsigned)
    signature = METADATA_KEY.sign(covered, context=contexts.STORED_BUNDLE)
    return as_vector(
        "stored_bundle",
        "stored bundle",
        stored_bundle.encode(replace(unsigned, signature=signature)),
        public_key=METADATA_KEY.public,
        kem_seed=seed,
        plaintext=plaintext,
    )


def document(name: str, body: bytes, author: str, context: bytes) -> Vector:
    """Return ``body`` as a signed document."""
    covered = documents.signing_input(author, body)
    signature = METADATA_KEY.sign(covered, context=context)
    raw = documents.encode(SignedDocument(body, author, signature))
    return as_vector(name, "signed document", raw, public_key=METADATA_KEY.public)


def listed() -> Vector:
    """Return an operator-signed list of identities."""
    operator = signer("operator", Algorithm.ML_DSA_87)
    found = (PublicIdentity("metadata-1", "ML-DSA-87", METADATA_KEY.public),)
    signature = operator.sign(identities.signing_input(found), context=contexts.IDENTITY_LIST)
    raw = identities.encode(SignedIdentities(found, signature))
    return as_vector("identities", "identities", raw, public_key=operator.public)


def prototypes() -> list[Vector]:
    """Return the prototype's records, made by hand from the published field lists alone."""
    return [
        Vector(
            f"prototype_{kind.name.lower()}",
            kind,
            avro_by_hand.write(prototype_shapes.schema(kind), dict(PROTOTYPE[kind]), ordered=False),
            dict(PROTOTYPE[kind]),
        )
        for kind in Kind
    ]


def main() -> int:
    """Write every file and return the exit code."""
    for vector in [
        *fixed(),
        message_vector(Algorithm.ML_DSA_65),
        message_vector(Algorithm.ML_DSA_87),
        batched(5, 1),
        batched(5, 4),
        batched(64, 63),
        request(),
        reply(),
        at_rest(),
        document("signed_desired", desired.encode(DESIRED), "metadata-1", contexts.DESIRED_STATE),
        document("signed_status", status.encode(STATUS), STATUS_SIGNER, contexts.INSTANCE_STATUS),
        listed(),
        *prototypes(),
    ]:
        save(vector)
    return 0


if __name__ == "__main__":
    sys.exit(main())
