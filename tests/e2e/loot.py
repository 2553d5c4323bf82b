"""What somebody gets who has taken over one party whole: its certificate, its state, its keys."""

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from nats.errors import TimeoutError as NatsTimeoutError

from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.flows.key_keeping import KeyKeeper
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.kem import KemKey
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.bundle import BundleRequest
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    CANARY,
    GATEKEEPER,
    METADATA,
    OPERATOR,
    WATCHER,
    InstanceName,
    ServiceName,
    Subject,
)
from svc_core.domain.keys import KeyRing, SigningKey, TopicKey, topic_key_id
from svc_core.domain.profiles import PROFILES
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import BUNDLE_PULL
from svc_core.flows.message_crypto import encrypt
from svc_core.flows.statements import Author
from svc_core.wire import bundle_exchange, framing, service_bundle, signed_message
from svc_core.wire.bundle_exchange import SignedRequest
from svc_core.wire.signed_message import SignedMessage
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.outsider import Outsider, as_service, connected, tls_context, urls
from tests.e2e.stolen import logged_in, take_leaf, trusted_issuers
from tests.e2e.waiting import until
from tests.integration.bare_stack import ReachableOpenBao

PARTIES: Final = (GATEKEEPER, AUTHCONTROLLER, METADATA, WATCHER, CANARY, OPERATOR)
"""Every NATS user that reaches a data account, or might want to."""
KEYS: Final = PROFILES["demo"].keys

_SIGNED_BY: Final = {CANARY: WATCHER, OPERATOR: OPERATOR}
"""Whose credentials give the leaf of those that keep none on disk."""
_LEAF_LIFE: Final = timedelta(minutes=1)
_ANSWER_S: Final = 5.0
_ANSWERED_WITHIN_S: Final = 30.0


@asynccontextmanager
async def connected_as(stack: LoadedStack, party: str, folder: Path) -> AsyncIterator[Outsider]:
    """Connect with the certificate of ``party``, taken from its disk or got with its AppRole."""
    if party not in _SIGNED_BY:
        async with as_service(stack.layout, party) as outsider:
            yield outsider
        return
    trust = stack.layout.trust_file
    async with logged_in(stack, _SIGNED_BY[party]) as session:
        issuer = trusted_issuers(trust)[-1]
        leaf = await take_leaf(session, party, issuer, folder, ttl=_LEAF_LIFE)
    async with connected(urls(stack.layout)[0], tls_context(trust, leaf), party) as outsider:
        yield outsider


@dataclass(frozen=True)
class Loot:
    """The keys somebody can seal, open and sign with."""

    ring: KeyRing | None = None
    """Of its bundle; None without one."""
    topic_keys: Mapping[str, TopicKey] = field(default_factory=dict)
    """By their ids."""
    seeds: Mapping[tuple[ServiceName, int], SigningKey] = field(default_factory=dict)
    """Signing keys by service and epoch."""

    @classmethod
    def of_ring(cls, ring: KeyRing) -> "Loot":
        """Return what is in a bundle."""
        return cls(
            ring,
            {key.key_id: key for key in ring.topics.values()},
            {(ring.service, epoch): key for epoch, key in ring.signing.items()},
        )

    @classmethod
    def of_generations(cls, generations: Iterable[KeyGeneration]) -> "Loot":
        """Return what the authority has: all of it."""
        topic_keys, seeds = {}, {}
        for g in generations:
            starts, ends = KEYS.starts(g.epoch), KEYS.expires(g.epoch)
            for topic, secrets in g.topics.items():
                for number, secret in enumerate(secrets):
                    key_id = topic_key_id(topic, g.epoch, generation=number)
                    topic_keys[key_id] = TopicKey(key_id, topic, g.epoch, secret, starts, ends)
            for service, seed in g.seeds.items():
                key = SigningKey(service, g.epoch, g.algorithm, seed, starts, ends)
                seeds[service, g.epoch.number] = key
        return cls(None, topic_keys, seeds)

    @property
    def secrets(self) -> list[bytes]:
        """Every secret in it."""
        keys = [key.secret for key in self.topic_keys.values()]
        return [s.reveal() for s in (*keys, *(key.seed for key in self.seeds.values()))]


async def ask_for_bundle(stack: LoadedStack, service: str, outsider: Outsider) -> KeyRing | None:
    """Ask as the instance whose state is on the disk; None when the broker forbids to ask."""
    if not await outsider.may_publish(BUNDLE_PULL, b"may I?"):
        return None
    found: list[KeyRing] = []

    async def is_answered() -> bool:
        found[:] = await _pulled(stack.layout.service(service) / "state", service, outsider)
        return bool(found)

    # As every service does: what was lost on the way, or came too early, is asked for again.
    await until(is_answered, within_s=_ANSWERED_WITHIN_S, what=f"a bundle for {service}")
    return found[0]


async def _pulled(state: Path, service: str, outsider: Outsider) -> list[KeyRing]:
    """Pull once; return the ring, or nothing when there was no answer or a refusal."""
    instance = InstanceName((state / "instance").read_text().strip())
    seed = SecretBytes((state / "identity.seed").read_bytes())
    author = Author("thief", Signer.from_seed(Algorithm.ML_DSA_87, seed))
    kem = KemKey.from_seed(SecretBytes(os.urandom(64)))
    request = BundleRequest(
        ServiceName(service), instance, kem.public, os.urandom(32), datetime.now(UTC)
    )
    signature = await author.sign_bytes(
        bundle_exchange.request_signing_input(request), context=contexts.BUNDLE_REQUEST
    )
    raw = bundle_exchange.encode_request(SignedRequest(request, signature))
    try:
        answer = await outsider.client.request(BUNDLE_PULL, raw, timeout=_ANSWER_S)
    except NatsTimeoutError:
        return []
    if bundle_exchange.decode_refusal(answer.data):
        return []
    reply = bundle_exchange.decode_reply(answer.data)
    encoded = sealing.unseal(
        kem.decapsulate(reply.encapsulation),
        framing.decode(reply.sealed),
        info=labelled_info(contexts.SEAL_BUNDLE, reply.service.encode(), reply.instance.encode()),
        aad=bundle_exchange.reply_aad(reply),
    )
    return [service_bundle.decode(encoded).ring]


async def keys_in_openbao(stack: LoadedStack) -> Loot:
    """Return what Metadata's credentials open: every key of the epochs that are kept."""
    openbao = ReachableOpenBao(stack.layout, stack.stack.endpoints)
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        keeper = KeyKeeper(OpenBaoSecretStore(session), TransitKeyWrap(session))
        current = KEYS.current(datetime.now(UTC))
        kept = [await keeper.fetch(epoch) for epoch in (current, current.next())]
    return Loot.of_generations(found.generation for found in kept if found is not None)


@dataclass(frozen=True)
class Forger:
    """Makes messages on one topic, with the keys somebody has and made-up ones for the others."""

    loot: Loot
    topic: Subject
    key_id: str
    """Of the topic key to seal with, which anybody can read off any message."""
    epoch: int
    algorithm: str

    def message(self, signer: str, *, signed_by: str, message_type: str) -> bytes:
        """Return a message that says it is of ``signer``, signed with a key of ``signed_by``."""
        header = SignedMessage(
            message_id=f"forged-{os.urandom(6).hex()}",
            message_type=message_type,
            ca_epoch=0,
            key_epoch=self.epoch,
            signer=ServiceName(signer),
            signer_key_id=self.epoch,
            sent_at=datetime.now(UTC),
            signature=b"",
            topic=self.topic,
            encrypt_key_id=self.key_id,
            payload_type=message_type,
            payload=b"",
            algorithm=self.algorithm,
        )
        aad = signed_message.header_aad(header)
        sealed = encrypt(aad, b"forged", self._topic_key(), entropy=system_entropy)
        covered = signed_message.signing_input(aad, sealed)
        signature = self._signer(signed_by).sign(covered, context=contexts.SIGNED_MESSAGE)
        return signed_message.assemble(header, sealed, signature, None)

    def _topic_key(self) -> TopicKey:
        known = self.loot.topic_keys.get(self.key_id)
        if known is not None:
            return known
        now = datetime.now(UTC)
        made_up = SecretBytes(os.urandom(32))
        return TopicKey(self.key_id, self.topic, KEYS.current(now), made_up, now, now)

    def _signer(self, service: str) -> Signer:
        key = self.loot.seeds.get((ServiceName(service), self.epoch))
        seed = SecretBytes(os.urandom(32)) if key is None else key.seed
        return Signer.from_seed(Algorithm(self.algorithm), seed)
