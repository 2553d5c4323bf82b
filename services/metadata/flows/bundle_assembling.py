"""Putting bundles together: of one snapshot, exactly the keys that a service's rights allow."""

from threading import Lock
from typing import Final

from cachetools import LRUCache

from services.metadata.domain.key_ledger import KeySnapshot
from services.metadata.domain.key_rings import assemble_ring
from svc_core.domain.bundle import ServiceBundle
from svc_core.domain.identity import ServiceName
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import RejectedError
from svc_core.runtime.interpreter import collection_paused
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import service_bundle

_CACHED_PUBLICS: Final = 4096


class BundleOverLimitError(RejectedError):
    """More keys than one bundle may hold: this service gets none until it needs fewer."""

    code = "bundle.over_limit"
    advice = "let this service consume fewer topics, or topics of fewer producers"


class BundleAssembler:
    """Makes bundles; what takes long, deriving public keys, is remembered."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._publics: LRUCache[tuple[str, bytes], bytes] = LRUCache(_CACHED_PUBLICS)
        self._cache_lock = Lock()

    def assemble(self, service: ServiceName, snapshot: KeySnapshot) -> ServiceBundle:
        """Return the bundle of ``service`` at the version of ``snapshot``.

        It computes for longer the more keys there are, so it is for a thread; several at once do.
        """
        schedule = self._around.profile.keys
        newest = snapshot.generations[-1].epoch
        with collection_paused():
            ring = assemble_ring(
                service, snapshot.acl, snapshot.generations, schedule, self._public_of
            )
        return ServiceBundle(
            service=service,
            version=snapshot.version,
            key_epoch=newest.number,
            profile=self._around.profile.name,
            created_at=self._around.clock.now(),
            expires_at=schedule.expires(newest),
            ring=ring,
        )

    def _public_of(self, algorithm: str, seed: SecretBytes) -> bytes:
        # Keyed by the seed itself: it never leaves this process's memory either way.
        key = algorithm, seed.reveal()
        with self._cache_lock:
            public = self._publics.get(key)
        if public is None:
            public = self._around.crypto.messages.signer(seed, algorithm=algorithm).public
            with self._cache_lock:
                self._publics[key] = public
        return public


def encode_bundle(bundle: ServiceBundle) -> bytes:
    """Return the bytes of ``bundle``: secret, to be sealed.

    Raises:
        BundleOverLimitError: they would be more than 4 MiB.
    """
    try:
        with collection_paused():
            return service_bundle.encode(bundle)
    except ValueError as err:
        raise BundleOverLimitError(f"the bundle of {bundle.service}: {err}") from err
