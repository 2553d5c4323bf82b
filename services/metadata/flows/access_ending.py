"""Ending what a service can do in OpenBao: its secret-ids, then the tokens they gave out.

With a token a secret-id can be made, and with a secret-id a token. So both are ended again and
again until neither is left: then nobody can make one any more but the operator.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from services.metadata.flows.accessor_janitor import AccessorRegistry
from services.metadata.ports import TokenRegistry
from svc_core.domain.identity import ServiceName
from svc_core.errors import SecretStoreError

log = structlog.get_logger()

_MOST_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Ended:
    """How much there was to end."""

    secret_ids: int
    tokens: int


class AccessEnding:
    """Takes a service's way into OpenBao away."""

    def __init__(self, secret_ids: AccessorRegistry, tokens: TokenRegistry) -> None:
        self._secret_ids = secret_ids
        self._tokens = tokens

    async def end(self, service: ServiceName) -> Ended:
        """End every secret-id and every token of ``service``.

        Raises:
            SecretStoreError: OpenBao does not answer, or something is made as fast as it is ended.
            AccessDeniedError: the policy of this process does not allow it.
        """
        secret_ids, tokens = 0, 0
        for _ in range(_MOST_ROUNDS):
            held = await self._secret_ids.fetch_accessors(service)
            for accessor in sorted(held):
                await self._secret_ids.destroy(service, accessor)
            live = await self._tokens.fetch_accessors(service)
            for accessor in sorted(live):
                await self._tokens.revoke(accessor)
            if not held and not live:
                log.info("access.ended", owner=service, secret_ids=secret_ids, tokens=tokens)
                return Ended(secret_ids, tokens)
            secret_ids, tokens = secret_ids + len(held), tokens + len(live)
        raise SecretStoreError(f"somebody keeps making credentials of {service}")
