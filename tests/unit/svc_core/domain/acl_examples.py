"""ACLs as Hypothesis draws them: few services and topics, so that they meet."""

from hypothesis import strategies as st

from svc_core.domain.acl import Acl, ServicePermissions
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, Subject
from svc_core.domain.subjects import AUTH_REQUEST, CA_CERT, RESPONDER

SERVICES = (METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER)
TOPICS = (AUTH_REQUEST, RESPONDER, CA_CERT, Subject("billing.a"), Subject("billing.b"))

_lists = st.frozensets(st.sampled_from(TOPICS))
acls = st.dictionaries(
    st.sampled_from(SERVICES), st.builds(ServicePermissions, _lists, _lists)
).map(Acl)
