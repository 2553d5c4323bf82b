"""Topics that are probably misspelt: said by nobody or heard by nobody, but almost a name that is.

A misspelt topic is a legal topic, so nothing else in a manifest gives it away. Only what fits
together is reported: a topic without consumers that looks like one without producers.
"""

import difflib
from collections.abc import Iterator
from typing import Final

from svc_core.domain.acl import PUBLISH, SUBSCRIBE, VERBS, Acl, AclRemark, Roles
from svc_core.domain.acl_entries import Finding, Severity
from svc_core.domain.identity import Subject
from svc_core.domain.subjects import is_data_topic

_SIMILAR: Final = 0.85
_MOST_PAIRS: Final = 10_000
"""Comparing costs time; where so many topics stand alone, standing alone says nothing."""
_OTHER_SIDE: Final = {PUBLISH: "consumes", SUBSCRIBE: "publishes on"}


def misspelt_topics(acl: Acl, roles: Roles) -> tuple[AclRemark, ...]:
    """Return a remark for each entry of ``roles`` that names a topic probably misspelt.

    Args:
        acl: what ``roles`` grant.
        roles: where the entries are.
    """
    said = {t for p in acl.services.values() for t in p.publish if is_data_topic(t)}
    heard = {t for p in acl.services.values() for t in p.subscribe if is_data_topic(t)}
    unheard, unsaid = sorted(said - heard), sorted(heard - said)
    if not unheard or not unsaid or len(unheard) * len(unsaid) > _MOST_PAIRS:
        return ()
    likely = {
        PUBLISH: dict(_likely(unheard, unsaid)),
        SUBSCRIBE: dict(_likely(unsaid, unheard)),
    }
    return tuple(
        _remark(service, verb, index, entry, likely[verb][Subject(entry)])
        for service in acl.services
        for verb in VERBS
        for index, entry in enumerate(roles[service].get(verb, ()))
        if entry in likely[verb]
    )


def _likely(topics: list[Subject], choices: list[Subject]) -> Iterator[tuple[Subject, Subject]]:
    for topic in topics:
        close = difflib.get_close_matches(topic, choices, n=1, cutoff=_SIMILAR)
        yield from ((topic, Subject(choice)) for choice in close)


def _remark(service: str, verb: str, index: int, entry: str, likely: str) -> AclRemark:
    reason = f"nobody {_OTHER_SIDE[verb]} {entry} (did you mean {likely}?)"
    return AclRemark(service, Finding(Severity.DOUBTFUL, reason), verb, index, entry)
