"""Where things are said: every subject, stream, durable, bucket and OpenBao path, in one place."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from svc_core.domain.identity import InstanceName, ServiceName, Subject

CA_CERT: Final = Subject("metadata.client.ca-cert")
CA_STREAM: Final = "METADATA_CA_CLIENT"
BUNDLE_PULL: Final = Subject("metadata.bundle-pull.svc-metadata")
BUNDLE_WORKERS: Final = "metadata-workers"
AUTH_REQUEST: Final = Subject("auth.auth-request")
AUTH_STREAM: Final = "AUTH_STREAM"
AUTH_DURABLE: Final = "auth-requests"
RESPONDER: Final = Subject("gatekeeper.responder")
GATEKEEPER_STREAM: Final = "GATEKEEPER_STREAM"
GATEKEEPER_DURABLE: Final = "gatekeeper-responder-consumer"
DEAD_LETTER_STREAM: Final = "DEAD_LETTERS"
REMOVE_DEAD_LETTER: Final = "dead-letters.remove"
"""Removes one dead letter; what JetStream calls it is hidden behind the operator's import."""
STATUS_BUCKET: Final = "rotation-status"
STATUS_STREAM: Final = f"KV_{STATUS_BUCKET}"

MAX_PAYLOAD: Final = 128 << 10
"""Bytes of the largest message that any account may publish; more costs the connection."""
DUPLICATE_WINDOW: Final = timedelta(minutes=2)
"""How long a stream refuses the repeat of a ``Nats-Msg-Id``."""
LONGEST_REPEATING: Final = DUPLICATE_WINDOW - timedelta(seconds=30)
"""How long a message may be sent again under its id: a copy that is late by less than half a minute
still meets the first one."""
ACK_WAIT: Final = timedelta(seconds=5)
"""How long a durable waits for a word about a delivery before it delivers again."""
MAX_DELIVER: Final = 200
"""Deliveries after which a consumer gives a message up; at 4 s each about a quarter of an hour."""

DESIRED_PATH: Final = "transport/desired"
JOURNAL_PATH: Final = "transport/journal"
KEYS_PATH: Final = "transport/keys"
OUTLOOK_PATH: Final = "transport/outlook"
"""What the authority will do next and whom it waits for, for the operator to read."""
KEMS_PATH: Final = "kem"
BUNDLES_PATH: Final = "bundles"


def bundle_push(service: ServiceName) -> Subject:
    """Return the subject on which ``service`` is told that a newer bundle exists."""
    return Subject(f"metadata.bundle-push.svc-{service}")


def dead_letters(service: ServiceName) -> Subject:
    """Return the subject that takes the messages ``service`` had to refuse."""
    return Subject(f"dlq.{service}")


def status_key(service: ServiceName, instance: InstanceName) -> str:
    """Return the subject of one instance's status in the status bucket."""
    return f"$KV.{STATUS_BUCKET}.{service}.{instance}"


def inbox_prefix(account: str) -> str:
    """Return the inbox prefix of one NATS user; nobody else may subscribe under it."""
    return f"_INBOX_{account}"


def identity_path(service: ServiceName, instance: InstanceName) -> str:
    """Return the create-only path where an instance registers its public keys."""
    return f"identities/{service}/{instance}"


def kem_path(service: ServiceName, instance: InstanceName) -> str:
    """Return the create-only path where an instance registers the key bundles are sealed to."""
    return f"{KEMS_PATH}/{service}/{instance}"


def bundle_path(service: ServiceName, instance: InstanceName) -> str:
    """Return the path of the bundle that lies sealed for one instance."""
    return f"{BUNDLES_PATH}/{service}/{instance}"


def is_data_topic(topic: Subject) -> bool:
    """Say whether messages on ``topic`` are sealed under a topic key; the authority's are not."""
    return not topic.startswith("metadata.")


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream as Metadata declares it; sizes in bytes."""

    name: str
    subjects: tuple[str, ...]
    max_age: timedelta
    max_bytes: int
    max_message: int
    max_per_subject: int = -1
    is_bucket: bool = False
    keeps_old: bool = False
    """When full it refuses what is new, instead of dropping what is oldest."""
    deletable: bool = False
    """Single messages may be removed, by whoever has that right."""


@dataclass(frozen=True, slots=True)
class DurableSpec:
    """One durable pull consumer as Metadata declares it.

    The broker never gives a message up: its consumer does, and keeps it as a dead letter.
    """

    stream: str
    name: str
    filter_subject: Subject
    ack_wait: timedelta
    max_ack_pending: int = 1000


_MIB: Final = 1 << 20
LEAST_STREAM_BYTES: Final = 16 * _MIB
MOST_STREAM_BYTES: Final = 128 * _MIB
"""What an account reserves for each stream that carries messages between services."""

STREAMS: Final = (
    StreamSpec(CA_STREAM, (CA_CERT,), timedelta(hours=24), 8 * _MIB, 96 << 10, max_per_subject=4),
    StreamSpec(AUTH_STREAM, (AUTH_REQUEST,), timedelta(hours=1), MOST_STREAM_BYTES, 64 << 10),
    StreamSpec(GATEKEEPER_STREAM, (RESPONDER,), timedelta(hours=1), MOST_STREAM_BYTES, 64 << 10),
    StreamSpec(
        DEAD_LETTER_STREAM,
        ("dlq.*",),
        timedelta(days=7),
        64 * _MIB,
        128 << 10,
        keeps_old=True,
        deletable=True,
    ),
    StreamSpec(
        STATUS_STREAM,
        (f"$KV.{STATUS_BUCKET}.>",),
        timedelta(hours=24),
        16 * _MIB,
        32 << 10,
        max_per_subject=1,
        is_bucket=True,
    ),
)
DURABLES: Final = (
    DurableSpec(AUTH_STREAM, AUTH_DURABLE, AUTH_REQUEST, ACK_WAIT),
    DurableSpec(GATEKEEPER_STREAM, GATEKEEPER_DURABLE, RESPONDER, ACK_WAIT),
)


def declared_streams(message_bytes: int) -> tuple[StreamSpec, ...]:
    """Return `STREAMS`, those that carry messages between services with room for so many bytes.

    ``message_bytes`` is from `LEAST_STREAM_BYTES` to `MOST_STREAM_BYTES`.
    """
    carrying = {durable.stream for durable in DURABLES}
    return tuple(
        replace(spec, max_bytes=message_bytes) if spec.name in carrying else spec
        for spec in STREAMS
    )
