"""Following the bundle: pull the keys this service may have, before they are needed.

A pull proves who asks (identity key), opens only here (fresh ML-KEM key, dropped after use), and
is accepted only from a pinned identity of Metadata, for this nonce, recipient and profile, and
never with a version below one already used. When nobody answers it, or the answer would be larger
than the bus carries, the bundle that lies in OpenBao is read instead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.kem import KemKey
from svc_core.domain.bundle import BundleRequest, ServiceBundle, check_bundle
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import BUNDLE_PULL
from svc_core.errors import (
    AccessDeniedError,
    BundleRecipientError,
    BusError,
    ConfigError,
    RejectedError,
    SecretStoreError,
    UntrustedAnswerError,
    VerificationError,
)
from svc_core.flows.bundle_recovery import BundleRecovery
from svc_core.flows.secure_channel import SecureChannel
from svc_core.flows.statements import Author, Statements
from svc_core.ports.bus import Bus
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import bundle_exchange, framing, service_bundle
from svc_core.wire.bundle_exchange import BundleReply, SignedRequest

log = structlog.get_logger()

_KEM_SEED: Final = 64
_PULL_TIMEOUT: Final = timedelta(seconds=3)
_DRAW: Final = 1 << 16
_REPEAT_SHARE: Final = 1 / 8
"""Share of the lead after which keys that were not ready yet are asked for again."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who pulls, and the identity it proves itself with."""

    service: ServiceName
    instance: InstanceName
    author: Author


class BundleFollower:
    """The loop that keeps the channel's keys ahead of every boundary."""

    name: Final = "bundle_following"

    def __init__(
        self,
        recipient: Recipient,
        bus: Bus,
        channel: SecureChannel,
        statements: Statements,
        around: Surroundings,
        recovery: BundleRecovery | None = None,
    ) -> None:
        """Prepare the loop.

        Args:
            recipient: who pulls.
            bus: how Metadata is reached.
            channel: gets the keys; its refresh is this one's `pull` from now on.
            statements: verifies Metadata's identities and nobody else's.
            around: clock, entropy, profile and health.
            recovery: where the bundle lies when Metadata is away; None where none is stored.
        """
        self._recipient = recipient
        self._bus = bus
        self._channel = channel
        self._statements = statements
        self._clock = around.clock
        self._entropy = around.entropy
        self._exchange = around.crypto.exchange
        self._profile = around.profile
        self._health = around.health
        self.hinted = Wakeup()
        """Set to pull at once; a lost hint costs at most one period."""
        self.adopted = Wakeup()
        """Set whenever newer keys are in use."""
        channel.refresh = self.pull
        self._newest = Epoch(0)
        self._recovery = recovery
        self._is_recovered = False
        """Whether the keys in use came from the store, so that a pull is still owed."""

    async def run(self) -> None:
        """Pull now, at a jittered time in every lead, and whenever a hint says so; for ever."""
        while True:
            self._channel.prune()
            await self._pull_safely()
            self._health.beat(self.name, f"version {self._channel.version}")
            await self.hinted.wait(self._until_next_pull().total_seconds())

    async def _pull_safely(self) -> None:
        try:
            await self.pull()
        except RejectedError as err:
            # A wrong answer is no reason to give up keys that still work: ask again later.
            raise UntrustedAnswerError(f"the bundle was refused: {err}") from err

    async def pull(self) -> None:
        """Ask for the newest bundle, or else read the stored one, and adopt it.

        Raises:
            BusError: Metadata did not answer, and nothing newer than what is in use is stored.
            RejectedError: what came is not to be trusted; the keys in use stay in use.
        """
        try:
            bundle, is_recovered = await self._pulled(), False
        except BusError as err:
            bundle, is_recovered = await self._recovered(err), True
        await self._adopt(bundle)
        self._is_recovered = is_recovered

    async def _recovered(self, failure: BusError) -> ServiceBundle:
        if self._recovery is None:
            raise failure
        try:
            bundle = await self._recovery.fetch(in_use=self._channel.version)
        except (SecretStoreError, AccessDeniedError) as err:
            log.debug("bundle.not_stored", code=err.code, reason=str(err))
            raise failure from err
        if bundle is None:
            raise failure
        log.warning("bundle.recovered", version=bundle.version, reason=str(failure))
        return bundle

    async def _pulled(self) -> ServiceBundle:
        kem = self._exchange.key(SecretBytes(self._entropy(_KEM_SEED)))
        request = BundleRequest(
            self._recipient.service,
            self._recipient.instance,
            kem.public,
            self._entropy(bundle_exchange.NONCE_SIZE),
            self._clock.now(),
        )
        signature = await self._recipient.author.sign_bytes(
            bundle_exchange.request_signing_input(request), context=contexts.BUNDLE_REQUEST
        )
        raw = await self._bus.request(
            BUNDLE_PULL,
            bundle_exchange.encode_request(SignedRequest(request, signature)),
            timeout=_PULL_TIMEOUT,
        )
        if refusal := bundle_exchange.decode_refusal(raw):
            raise BusError(f"Metadata gave no bundle: {refusal}")
        return await self._opened(bundle_exchange.decode_reply(raw), request, kem)

    async def _opened(
        self, reply: BundleReply, request: BundleRequest, kem: KemKey
    ) -> ServiceBundle:
        if reply.nonce != request.nonce:
            raise VerificationError
        if (reply.service, reply.instance) != (request.service, request.instance):
            raise BundleRecipientError(f"reply is for {reply.service}/{reply.instance}")
        await self._statements.verify_bytes(
            reply.signer,
            reply.signature,
            bundle_exchange.reply_signing_input(reply),
            context=contexts.BUNDLE_REPLY,
        )
        encoded = sealing.unseal(
            kem.decapsulate(reply.encapsulation),
            framing.decode(reply.sealed),
            info=labelled_info(
                contexts.SEAL_BUNDLE, reply.service.encode(), reply.instance.encode()
            ),
            aad=bundle_exchange.reply_aad(reply),
        )
        bundle = service_bundle.decode(encoded)
        if bundle.version != reply.version:
            raise VerificationError
        return bundle

    async def _adopt(self, bundle: ServiceBundle) -> None:
        check_bundle(
            bundle,
            service=self._recipient.service,
            profile=self._profile.name,
            newest_version=self._channel.version,
            now=self._clock.now(),
        )
        is_newer = bundle.version > self._channel.version
        self._channel.adopt(bundle.ring, bundle.version)
        self._newest = Epoch(bundle.key_epoch)
        if is_newer:
            self.adopted.set()
            log.info("bundle.adopted", version=bundle.version, newest_epoch=bundle.key_epoch)
            await self._remember(bundle.version)

    async def _remember(self, version: int) -> None:
        if self._recovery is None:
            return
        try:
            await self._recovery.remember(version)
        except ConfigError as err:
            # Keys in hand are worth more than the memory of them.
            log.warning("bundle.not_remembered", version=version, reason=str(err))

    def _until_next_pull(self) -> timedelta:
        """Return the time to the lead of the first epoch without keys, or a moment if it began.

        A moment, too, as long as the keys in use came from the store.
        """
        schedule = self._profile.keys
        if self._is_recovered:
            return schedule.lead * _REPEAT_SHARE
        wanted = self._in_lead(schedule.starts(self._newest.next())) - self._clock.now()
        return wanted if wanted > timedelta(0) else schedule.lead * _REPEAT_SHARE

    def _in_lead(self, boundary: datetime) -> datetime:
        """Return a time in the second and third quarter of the lead, when the keys are made."""
        share = 0.25 + 0.5 * int.from_bytes(self._entropy(2), "big") / _DRAW
        return boundary - self._profile.keys.lead * (1 - share)
