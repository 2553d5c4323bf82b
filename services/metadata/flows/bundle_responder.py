"""Answering bundle pulls: identity, freshness, replay, revocation and ACL, then the keys allowed.

The ledger is read at each pull that is the instance's own: it says who is revoked, and whether
another replica has issued something since, so that no client ever sees versions go back.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from cachetools import TTLCache

from services.metadata.domain.key_ledger import KeySnapshot
from services.metadata.flows.acl_following import AclSource
from services.metadata.flows.bundle_assembling import BundleAssembler, encode_bundle
from services.metadata.flows.instance_keys import InstanceKeys, RevokedError
from services.metadata.flows.key_issuance import KeyIssuance
from svc_core.crypto import contexts, sealing
from svc_core.crypto.kdf import labelled_info
from svc_core.domain.bundle import BundleRequest, ServiceBundle
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import BUNDLE_PULL, BUNDLE_WORKERS, MAX_PAYLOAD
from svc_core.errors import (
    FutureMessageError,
    PermissionDeniedError,
    RejectedError,
    ReplayError,
    StaleMessageError,
    SvcError,
    UnknownKeyError,
)
from svc_core.flows.statements import Author
from svc_core.ports.bus import Bus
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import bundle_exchange, framing
from svc_core.wire.bundle_exchange import BundleReply

log = structlog.get_logger()

_REMEMBERED_NONCES: Final = 65_536
_LARGEST_REPLY: Final = MAX_PAYLOAD - 1024

Pulled = Callable[[ServiceName, InstanceName], None]
"""Told of each instance that pulled, once it has proved who it is."""


class BundleTooLargeError(RejectedError):
    """A bundle larger than the bus carries: it is to be read where it is stored."""

    code = "bundle.too_large_to_send"
    advice = "nothing to do: the instance reads its sealed bundle from OpenBao"


@dataclass(frozen=True, slots=True)
class ResponderTools:
    """What answers are made with."""

    author: Author
    assembler: BundleAssembler
    pulled: Pulled = lambda _service, _instance: None


class BundleResponder:
    """The loop that answers ``metadata.bundle-pull.svc-metadata``."""

    name: Final = "bundle_responder"

    def __init__(
        self,
        bus: Bus,
        keys: KeyIssuance,
        instances: InstanceKeys,
        acls: AclSource,
        tools: ResponderTools,
        around: Surroundings,
    ) -> None:
        self._bus = bus
        self._keys = keys
        self._assembler = tools.assembler
        self._pulled = tools.pulled
        self._instances = instances
        self._acls = acls
        self._author = tools.author
        self._around = around
        self._nonces: TTLCache[bytes, bool] = TTLCache(
            _REMEMBERED_NONCES,
            2 * around.profile.control_freshness.total_seconds(),
            timer=around.clock.monotonic,
        )

    async def run(self) -> None:
        """Answer for ever."""
        await self._acls.settled()
        await self._bus.respond(BUNDLE_PULL, BUNDLE_WORKERS, self._respond)

    async def _respond(self, raw: bytes) -> bytes:
        try:
            return await self._answer(raw)
        except SvcError as err:
            log.warning("bundle.refused", code=err.code, reason=str(err))
            return bundle_exchange.encode_refusal(err.code)

    async def _answer(self, raw: bytes) -> bytes:
        signed = bundle_exchange.decode_request(raw)
        request = signed.request
        self._check_allowed(request, self._acls.revoked)
        self._check_fresh(request)
        verifier = await self._instances.verifier(request.service, request.instance)
        await asyncio.to_thread(
            verifier.verify,
            signed.signature,
            bundle_exchange.request_signing_input(request),
            context=contexts.BUNDLE_REQUEST,
        )
        if request.nonce in self._nonces:
            raise ReplayError(f"{request.service}/{request.instance} asked this before")
        self._nonces[request.nonce] = True
        snapshot = await self._newest_snapshot(request)
        self._pulled(request.service, request.instance)
        bundle = await asyncio.to_thread(self._assembler.assemble, request.service, snapshot)
        reply = await asyncio.to_thread(self._sealed, request, bundle)
        signature = await self._author.sign_bytes(
            bundle_exchange.reply_signing_input(reply), context=contexts.BUNDLE_REPLY
        )
        raw = bundle_exchange.encode_reply(replace(reply, signature=signature))
        if len(raw) > _LARGEST_REPLY:
            raise BundleTooLargeError(f"the bundle of {request.service} takes {len(raw)} bytes")
        log.info(
            "bundle.served", to=f"{request.service}/{request.instance}", version=bundle.version
        )
        return raw

    def _check_allowed(self, request: BundleRequest, revoked: frozenset[ServiceName]) -> None:
        if request.service in revoked:
            raise RevokedError(f"{request.service} is revoked")
        if request.service not in self._acls.current.services:
            raise PermissionDeniedError(f"{request.service} is not in the ACL")

    async def _newest_snapshot(self, request: BundleRequest) -> KeySnapshot:
        ledger = await self._keys.ledgers.load()
        self._check_allowed(request, ledger.revoked)
        if f"{request.service}/{request.instance}" in ledger.refused:
            raise RevokedError(f"{request.service}/{request.instance} was revoked for good")
        if ledger.newest < 0:
            raise UnknownKeyError("no keys have been issued yet")
        snapshot = self._keys.snapshot
        if snapshot is None or snapshot.ledger != ledger:
            return await self._keys.catch_up()
        return snapshot

    def _check_fresh(self, request: BundleRequest) -> None:
        age = self._around.clock.now() - request.sent_at
        if age > self._around.profile.control_freshness:
            raise StaleMessageError(f"the request is {age.total_seconds():.0f} s old")
        if -age > self._around.profile.skew:
            raise FutureMessageError("the request was made in the future")

    def _sealed(self, request: BundleRequest, bundle: ServiceBundle) -> BundleReply:
        encapsulation, secret = self._around.crypto.exchange.encapsulate(request.kem_public)
        draft = BundleReply(
            service=request.service,
            instance=request.instance,
            nonce=request.nonce,
            version=bundle.version,
            encapsulation=encapsulation,
            sealed=b"",
            signer=self._author.id,
        )
        sealed = sealing.seal(
            secret,
            encode_bundle(bundle),
            info=labelled_info(
                contexts.SEAL_BUNDLE, request.service.encode(), request.instance.encode()
            ),
            aad=bundle_exchange.reply_aad(draft),
            entropy=self._around.entropy,
        )
        return replace(draft, sealed=framing.encode(sealed))
