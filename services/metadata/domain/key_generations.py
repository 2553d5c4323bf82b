"""The keys of one key epoch: which are wanted, and what is stored.

Within its epoch a topic has one key or several: a roll adds one behind the others, and the last
seals. What a generation was made for is written in it, so that a right which was withdrawn since
rolls the keys it opened, whenever and by whichever replica that is seen.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.metadata.domain.topic_keys import KEY_SIZE, TopicKeys
from svc_core.domain.acl import Acl, ServicePermissions
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import ServiceName, Subject, service_name, subject
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import is_data_topic
from svc_core.errors import MalformedMessageError

FIRST_ALGORITHM: Final = "ML-DSA-65"
"""What generations that do not say are of."""
KEPT_EPOCHS: Final = 4
"""Epochs N-3 … N open; with N+1 made in the lead, a ring holds at most five."""


@dataclass(frozen=True, slots=True)
class KeyGeneration:
    """Every secret made for one key epoch: 32 bytes per topic key, a 32-byte seed per service."""

    epoch: Epoch
    topics: Mapping[Subject, tuple[SecretBytes, ...]]
    """The keys of each topic in the order they were made; the place is part of a key's id."""
    seeds: Mapping[ServiceName, SecretBytes]
    algorithm: str = FIRST_ALGORITHM
    """Of the signing keys; chosen when the first of them is made and never changed."""
    permissions: Acl | None = None
    """The rights on data topics that the keys were last made for; None where nothing says so."""
    rolls: int = 0
    """Number of the last ordered roll that is in here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", TopicKeys.of(self.topics))

    def caught_up(
        self, acl: Acl, entropy: Callable[[int], bytes], *, rolls: int = 0
    ) -> "KeyGeneration":
        """Return this generation as ``acl`` wants it; itself when there is nothing to do.

        Topics and services without a key get one. Topics on which somebody lost a right since get
        another key, and so does every topic when a later roll was ordered. Who is no service any
        more loses its seed: should it ever come back, what it signed with before stays refused.

        Args:
            acl: the rights to make keys for.
            entropy: where keys come from.
            rolls: number of the last ordered roll; a lower one than is in here changes nothing.
        """
        rights = data_rights(acl)
        keys = TopicKeys.of(self.topics)
        rolled = self._to_roll(rights, is_ordered=rolls > self.rolls)
        missing = sorted(data_topics(acl) - set(keys))
        topics = keys.grown([t for t in keys if t in rolled], entropy).grown(missing, entropy)
        seeds = dict(self.limited_to(acl).seeds)
        seeds |= {s: SecretBytes(entropy(KEY_SIZE)) for s in sorted(set(acl.services) - set(seeds))}
        wanted = replace(
            self,
            topics=topics,
            seeds=seeds,
            permissions=rights,
            rolls=max(rolls, self.rolls),
        )
        return self if wanted.shape == self.shape else wanted

    @property
    def counts(self) -> Mapping[Subject, int]:
        """How many keys each topic has; to be preferred to looking at the keys."""
        return TopicKeys.of(self.topics).counts

    @property
    def shape(self) -> tuple[object, ...]:
        """What is in here without its secrets: another shape, another generation to store."""
        return self.counts, frozenset(self.seeds), self.permissions, self.rolls

    def is_for(self, acl: Acl, *, rolls: int) -> bool:
        """Say whether this generation is as ``acl`` and the last ordered roll want it."""
        return (
            (self.permissions, self.rolls) == (data_rights(acl), rolls)
            and data_topics(acl) <= self.topics.keys()
            and self.seeds.keys() == acl.services.keys()
        )

    def limited_to(self, acl: Acl) -> "KeyGeneration":
        """Return this generation without the seeds of who is no service; itself if all are."""
        seeds = {s: seed for s, seed in self.seeds.items() if s in acl.services}
        return self if len(seeds) == len(self.seeds) else replace(self, seeds=seeds)

    def _to_roll(self, rights: Acl, *, is_ordered: bool) -> frozenset[Subject]:
        if is_ordered:
            return frozenset(self.topics)
        if self.permissions is not None and self.permissions != rights:
            return frozenset(diff_acls(self.permissions, rights).topics_to_roll)
        return frozenset()


def data_topics(acl: Acl) -> frozenset[Subject]:
    """Return the topics that carry sealed messages, and so need keys."""
    return frozenset(t for t in acl.topics if is_data_topic(t))


def data_rights(acl: Acl) -> Acl:
    """Return the part of ``acl`` that decides who gets which topic key."""
    rights = {
        service: ServicePermissions(
            frozenset(t for t in p.publish if is_data_topic(t)),
            frozenset(t for t in p.subscribe if is_data_topic(t)),
        )
        for service, p in acl.services.items()
    }
    return Acl({service: p for service, p in rights.items() if p.topics})


def encode(generation: KeyGeneration) -> dict[str, Any]:
    """Return the generation as a JSON-shaped document; it holds secrets and must be wrapped."""
    document = {
        "epoch": generation.epoch.number,
        "topics": {t: [_text(k) for k in keys] for t, keys in generation.topics.items()},
        "seeds": {s: _text(k) for s, k in generation.seeds.items()},
        "algorithm": generation.algorithm,
        "rolls": generation.rolls,
    }
    if generation.permissions is not None:
        document["permissions"] = {
            service: {"publish": sorted(p.publish), "subscribe": sorted(p.subscribe)}
            for service, p in sorted(generation.permissions.services.items())
        }
    return document


def decode(document: Mapping[str, Any]) -> KeyGeneration:
    """Return the generation in ``document``, or raise `MalformedMessageError`.

    Documents from before topics could have several keys hold one text for each.
    """
    try:
        return KeyGeneration(
            Epoch(int(document["epoch"])),
            TopicKeys({subject(t): _packed(keys) for t, keys in document["topics"].items()}),
            {service_name(s): _secret(k) for s, k in document["seeds"].items()},
            str(document.get("algorithm", FIRST_ALGORITHM)),
            _permissions(document.get("permissions")),
            int(document.get("rolls", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        # No cause: it could quote what it could not read.
        raise MalformedMessageError("a stored key generation cannot be read") from None


def acl_digest(acl: Acl, revoked: Iterable[ServiceName] = ()) -> str:
    """Return a short digest that changes whenever anyone's permissions do, or who is revoked."""
    # A line for each right; those of one list are joined at once, since there may be many.
    lines = [
        start + f"\n{start}".join(sorted(topics))
        for service, permissions in sorted(acl.services.items())
        for start, topics in (
            (f"{service}:p:", permissions.publish),
            (f"{service}:s:", permissions.subscribe),
        )
        if topics
    ]
    # Whoever may do nothing with any topic has a user all the same.
    lines += [f"{service}:-" for service, p in sorted(acl.services.items()) if not p.topics]
    lines += [f"revoked:{service}" for service in sorted(revoked)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _permissions(document: Mapping[str, Mapping[str, Iterable[str]]] | None) -> Acl | None:
    if document is None:
        return None
    return Acl(
        {
            service_name(service): ServicePermissions(
                frozenset(subject(t) for t in lists["publish"]),
                frozenset(subject(t) for t in lists["subscribe"]),
            )
            for service, lists in document.items()
        }
    )


def _text(secret: SecretBytes) -> str:
    return b64encode(secret.reveal()).decode()


def _packed(texts: str | Iterable[str]) -> bytes:
    own = (texts,) if isinstance(texts, str) else texts
    return b"".join(_raw(text) for text in own)


def _secret(text: str) -> SecretBytes:
    return SecretBytes(_raw(text))


def _raw(text: str) -> bytes:
    raw = b64decode(text, validate=True)
    if len(raw) != KEY_SIZE:
        raise ValueError("a key of the wrong size")
    return raw
