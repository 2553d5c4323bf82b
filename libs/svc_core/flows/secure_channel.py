"""`SecureChannel`: payloads in, signed and sealed messages out, and the other way round.

Opening checks in this order: size, form, topic, producer, key known and not expired, algorithm,
signature, freshness; only then it decrypts. Each refusal is an error of its own. What was seen
before is the consumer's business (`svc_core.domain.replay`), since it depends on the durable.

A refusal that rests on what this side's key ring lacks is final only if the ring was asked for
again some time after the message was made: keys and permissions reach producers and consumers
moments apart, and a good message must not be lost to that.
"""

from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from svc_core.domain.batch_proof import BLIND_SIZE
from svc_core.domain.identity import ServiceName, Subject
from svc_core.domain.key_usage import KeyUsage
from svc_core.domain.keys import KeyRing
from svc_core.domain.signing_mode import SigningMode
from svc_core.errors import (
    KeyNotAvailableError,
    PermissionDeniedError,
    ProducerNotAllowedError,
    RejectedError,
    TopicMismatchError,
    UnknownKeyError,
)
from svc_core.flows.admission import (
    OpeningKeys,
    ParsedKeys,
    SealingKeys,
    admit,
    choose_sealing_keys,
)
from svc_core.flows.key_refresh import KeyRefresh, Refresh
from svc_core.flows.message_crypto import check_age, claim_of, decrypt, encrypt
from svc_core.flows.message_signing import GROUP_LIMITS, Signed, Unsigned, signing_function
from svc_core.flows.message_verifying import MessageVerifier, VerifiedRoots
from svc_core.runtime.breather import Breather
from svc_core.runtime.grouped_worker import GroupedWorker, Grouping
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage

SETTLING_TIME: Final = timedelta(seconds=2)
"""How far apart the same change may reach a producer and a consumer of a topic."""
_GROUPING: Final = {
    SigningMode.SINGLE: Grouping(GROUP_LIMITS[SigningMode.SINGLE], lanes=2),
    # A second batch under way at the same time would only make batches smaller. From the socket to
    # here a message takes about three turns: one reads, one wakes the consumer, one hands on what
    # it found; so those that came in together are signed together. On one busy processor an
    # exchange over NATS took 457 microseconds with it and 661 without.
    SigningMode.BATCHED: Grouping(GROUP_LIMITS[SigningMode.BATCHED], turns=3),
}
# What a ring that is behind would wrongly refuse.
_LACKING: Final = (UnknownKeyError, ProducerNotAllowedError, PermissionDeniedError)


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """A message that passed every check."""

    message_id: str
    message_type: str
    signer: ServiceName
    sent_at: datetime
    key_epoch: int
    payload: bytes = field(repr=False)
    valid_until: datetime
    """How long to remember its id: from then on no clock within the tolerated skew accepts it."""


class SecureChannel:
    """Seals and opens messages with the keys of one service; used from one event loop.

    Leaving the context waits for the work in the worker threads.
    """

    def __init__(
        self,
        around: Surroundings,
        service: ServiceName,
        workers: Executor,
        *,
        signing: SigningMode = SigningMode.SINGLE,
        usage: KeyUsage | None = None,
    ) -> None:
        """Make a channel without keys; `adopt` gives it some.

        Args:
            around: time, entropy, the profile, and the signatures of messages.
            service: who seals.
            workers: threads for signatures; not owned.
            signing: how what this channel seals is signed; it opens both kinds.
            usage: how often each key may seal; 2**32 times unless it says else.
        """
        self._clock = around.clock
        self._entropy = around.entropy
        self._profile = around.profile
        self._skew = around.profile.skew
        self._suite = around.crypto.messages
        self._service = service
        self._signing: GroupedWorker[Unsigned, Signed] = GroupedWorker(
            signing_function(signing),
            workers,
            _GROUPING[signing],
        )
        self._verifier = MessageVerifier(workers)
        self._breather = Breather()
        self._roots = VerifiedRoots()
        self._parsed = ParsedKeys(self._suite)
        self._key_refresh = KeyRefresh(around.clock)
        self._usage = KeyUsage() if usage is None else usage
        self._ring: KeyRing | None = None
        # This epoch's, once chosen: they stay the newest until it ends or other keys come.
        self._sealing: dict[Subject, SealingKeys] = {}
        self._lifetime = AsyncExitStack()
        self.version: int = 0
        """Version of the bundle in use; 0 before the first."""
        self.refresh: Refresh | None = None
        """Called when keys are missing; must end in `adopt`. Without it a refusal is final."""

    async def __aenter__(self) -> Self:
        await self._lifetime.enter_async_context(self._signing)
        await self._lifetime.enter_async_context(self._verifier)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._lifetime.aclose()

    @property
    def ring(self) -> KeyRing:
        """Return the keys in use, or raise `KeyNotAvailableError` before the first bundle."""
        if self._ring is None:
            raise KeyNotAvailableError(f"{self._service} has no keys yet")
        return self._ring

    def adopt(self, ring: KeyRing, version: int) -> None:
        """Use ``ring`` from now on; messages in the worker threads end with the keys they have.

        Whether the bundle may be taken (`svc_core.domain.bundle.check_bundle`) is decided before.
        """
        self.version = version
        self._hold(ring)

    def prune(self) -> None:
        """Let go of keys whose validity is over, also while no newer bundle comes."""
        now = self._clock.now()
        self._usage.prune(now)
        if self._ring is not None:
            # Kept for the skew, should this clock be set back; they do nothing in that time.
            current = self._ring.pruned(now, grace=self._skew)
            if current is not self._ring:
                self._hold(current)

    def _hold(self, ring: KeyRing) -> None:
        self._ring = ring
        self._parsed = ParsedKeys(self._suite)
        self._sealing.clear()
        # What was verified under keys that may have been withdrawn is verified anew.
        self._roots = VerifiedRoots()

    async def seal(
        self, topic: Subject, payload: bytes, *, message_type: str, message_id: str
    ) -> bytes:
        """Return ``payload`` as a message on ``topic``, sealed, signed and encoded.

        Args:
            topic: where it will be published; it cannot be opened elsewhere.
            payload: up to about 58 KiB, so that the message stays within 64 KiB.
            message_type: 1 to 200 printable ASCII characters, like ``message_id``.
            message_id: unique per signer for as long as the keys are valid.

        Raises:
            PermissionDeniedError: this service may not produce on ``topic``.
            KeyNotAvailableError: there is no key to seal with yet (retry).
            KeyExhaustedError: the key has sealed as many messages as it may (retry).
            OverloadedError: more was offered than can be signed, and no more may wait (retry).
            ValueError: the message would be too large.
        """
        await self._signing.enter()
        try:
            if self._breather.is_due:
                await self._breather.breathe()
            return await self._sealed(topic, payload, message_type, message_id)
        finally:
            self._signing.leave()

    async def _sealed(
        self, topic: Subject, payload: bytes, message_type: str, message_id: str
    ) -> bytes:
        now = self._clock.now()
        number = self._profile.keys.current(now).number
        keys = self._sealing.get(topic)
        if keys is None or keys.signing_key.epoch.number != number:
            keys = await self._sealing_keys(topic, now)
            self._sealing[topic] = keys
        message = SignedMessage(
            message_id=message_id,
            message_type=message_type,
            ca_epoch=self._profile.ca.current(now).number,
            key_epoch=keys.signing_key.epoch.number,
            signer=self._service,
            signer_key_id=keys.signing_key.epoch.number,
            sent_at=now,
            signature=b"",
            topic=topic,
            encrypt_key_id=keys.topic_key.key_id,
            payload_type=message_type,
            payload=b"",
            algorithm=keys.signing_key.algorithm,
        )
        self._usage.charge(keys.topic_key)
        header = signed_message.header_aad(message)
        sealed = encrypt(header, payload, keys.topic_key, entropy=self._entropy)
        signer = self._parsed.signer(keys.signing_key)
        signed = await self._signing.work(
            Unsigned(signer, message, header, sealed, self._entropy(BLIND_SIZE))
        )
        return signed_message.assemble(message, sealed, signed.signature, signed.proof)

    async def open(self, raw: bytes, topic: Subject) -> OpenedMessage:
        """Return the message in ``raw``, or refuse it.

        Args:
            raw: as delivered.
            topic: what the handler was configured for, never the subject of the delivery.

        Raises:
            RejectedError: one of its subclasses per check; the message will never be good.
            KeyNotAvailableError: it may be good once this side has newer keys (retry).
        """
        if self._breather.is_due:
            await self._breather.breathe()
        message = signed_message.decode(raw)
        if message.topic != topic:
            raise TopicMismatchError(f"message for {message.topic} on {topic}")
        now = self._clock.now()
        try:
            keys = admit(self.ring, message, now=now)
        except (*_LACKING, KeyNotAvailableError) as err:
            keys = await self._keys_after(err, message)
        header = signed_message.header_aad(message)
        claim = claim_of(message, header)
        if claim not in self._roots.good:
            verifier = self._parsed.verifier(keys.verify_key)
            await self._verifier.verify(claim, verifier, self._roots)
        check_age(message.sent_at, now=now, made_after=keys.verify_key.not_before, skew=self._skew)
        payload = decrypt(header, message.payload, keys.topic_key)
        return OpenedMessage(
            message_id=message.message_id,
            message_type=message.message_type,
            signer=message.signer,
            sent_at=message.sent_at,
            key_epoch=message.key_epoch,
            payload=payload,
            # With the skew, as keys are kept: this clock may be fast, and set back.
            valid_until=keys.not_after + self._skew,
        )

    async def _sealing_keys(self, topic: Subject, now: datetime) -> SealingKeys:
        schedule = self._profile.keys
        try:
            return choose_sealing_keys(self.ring, topic, schedule=schedule, now=now)
        except (PermissionDeniedError, KeyNotAvailableError) as err:
            await self._ask_for_keys(err)
        return choose_sealing_keys(self.ring, topic, schedule=schedule, now=now)

    async def _keys_after(
        self, refusal: RejectedError | KeyNotAvailableError, message: SignedMessage
    ) -> OpeningKeys:
        await self._ask_for_keys(refusal)
        try:
            return admit(self.ring, message, now=self._clock.now())
        except _LACKING as err:
            if self._may_be_behind(message.sent_at):
                raise KeyNotAvailableError("newer keys may still arrive") from err
            raise

    async def _ask_for_keys(self, refusal: RejectedError | KeyNotAvailableError) -> None:
        if self.refresh is None:
            raise refusal
        await self._key_refresh.ask(self.refresh)

    def _may_be_behind(self, sent_at: datetime) -> bool:
        asked_at = self._key_refresh.asked_at
        is_plausible = sent_at <= self._clock.now() + self._profile.skew
        return is_plausible and (asked_at is None or asked_at < sent_at + SETTLING_TIME)
