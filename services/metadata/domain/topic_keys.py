"""The topic keys of one epoch, packed: of ten thousand topics nothing but the bytes is kept.

As tuples of secrets they would be tens of thousands of objects for each epoch, through which the
interpreter looks for garbage again and again while everything waits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from svc_core.domain.identity import Subject
from svc_core.domain.secrets import SecretBytes

KEY_SIZE: Final = 32
"""Bytes of one topic key."""


class TopicKeys(Mapping[Subject, tuple[SecretBytes, ...]]):
    """The keys of each topic in the order they were made; immutable, silent about its bytes."""

    __slots__ = ("_packed",)

    def __init__(self, packed: Mapping[Subject, bytes]) -> None:
        """Hold ``packed``: for each topic its keys of 32 bytes, one behind the other.

        Raises:
            ValueError: a topic without a key, or a key of another size.
        """
        if not all(raw and len(raw) % KEY_SIZE == 0 for raw in packed.values()):
            raise ValueError("a topic without a key, or a key of the wrong size")
        self._packed = packed

    @classmethod
    def of(cls, keys: Mapping[Subject, Iterable[SecretBytes]]) -> "TopicKeys":
        """Return ``keys``; themselves when they are packed already."""
        if isinstance(keys, TopicKeys):
            return keys
        packed = {t: b"".join(secret.reveal() for secret in own) for t, own in keys.items()}
        return cls(packed)

    def __getitem__(self, topic: Subject) -> tuple[SecretBytes, ...]:
        raw = self._packed[topic]
        return tuple(
            SecretBytes(raw[start : start + KEY_SIZE]) for start in range(0, len(raw), KEY_SIZE)
        )

    def __contains__(self, topic: object) -> bool:
        return topic in self._packed

    def __iter__(self) -> Iterator[Subject]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def counts(self) -> dict[Subject, int]:
        """How many keys each topic has."""
        return {topic: len(raw) // KEY_SIZE for topic, raw in self._packed.items()}

    def grown(self, topics: Iterable[Subject], entropy: Callable[[int], bytes]) -> "TopicKeys":
        """Return these with one more key for each of ``topics``; themselves when there are none."""
        added = {topic: self._packed.get(topic, b"") + entropy(KEY_SIZE) for topic in topics}
        return TopicKeys({**self._packed, **added}) if added else self
