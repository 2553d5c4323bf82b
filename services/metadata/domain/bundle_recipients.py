"""For which instances bundles are kept at rest: those that may come back, and no others."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from svc_core.domain.acl import Acl
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.subjects import is_data_topic

NEWCOMER: Final = timedelta(days=1)
"""How long an instance is kept that has never claimed a secret-id: it does so in minutes."""


def keyed_services(acl: Acl) -> tuple[ServiceName, ...]:
    """Return the services that ``acl`` gives any keys, sorted."""
    return tuple(
        service
        for service, permissions in sorted(acl.services.items())
        if any(map(is_data_topic, permissions.topics))
    )


def is_kept(
    instance: InstanceName, *, claims: Collection[str], registered_at: datetime, now: datetime
) -> bool:
    """Say whether a bundle is kept for ``instance``.

    It is as long as it claims a secret-id, since only with one it can log in and read a bundle. A
    claim ends when the last secret-id in it has ended: `secret_id_ttl` after the instance did.

    Args:
        instance: of a service that has keys.
        claims: the instances of that service that claim a secret-id.
        registered_at: when it registered its key, by its own clock.
        now: aware, UTC.
    """
    return instance in claims or now - registered_at < NEWCOMER
