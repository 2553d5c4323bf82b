"""The ACL of the four services, as the manifest that is shipped says it."""

from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER
from svc_core.domain.subjects import AUTH_REQUEST, BUNDLE_PULL, CA_CERT, RESPONDER

KNOWN = frozenset({METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER})


def roles() -> dict[str, dict[str, list[str]]]:
    """Return the manifest's roles, to be changed as a test likes."""
    return {
        METADATA: {"publish": [CA_CERT], "subscribe": [BUNDLE_PULL]},
        WATCHER: {"publish": [BUNDLE_PULL], "subscribe": [CA_CERT]},
        GATEKEEPER: {"publish": [AUTH_REQUEST, BUNDLE_PULL], "subscribe": [RESPONDER, CA_CERT]},
        AUTHCONTROLLER: {"publish": [RESPONDER, BUNDLE_PULL], "subscribe": [AUTH_REQUEST, CA_CERT]},
    }


def make_acl() -> Acl:
    """Return the ACL of the four services."""
    acl, warnings = acl_from_roles(roles(), known=KNOWN)
    assert not warnings
    return acl


ACL = make_acl()
