"""What an authority hands out and what a key ring should do with it, by counting epochs only."""

from collections import Counter
from dataclasses import dataclass, field

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName, Subject
from svc_core.domain.key_states import KeyState
from svc_core.domain.keys import topic_key_id
from svc_core.errors import KeyExpiredError, PermissionDeniedError, UnknownKeyError

TOPICS = (Subject("one.topic"), Subject("other.topic"))

KeyName = tuple[Subject, int, int]
"""Topic, epoch and generation: how the model names a key."""


def key_id_of(name: KeyName) -> str:
    """Return the id of the key called ``name``."""
    topic, epoch, generation = name
    return topic_key_id(topic, Epoch(epoch), generation=generation)


@dataclass
class Model:
    """What the ring should be able to do, by counting epochs."""

    names: set[KeyName]
    signed: set[int]
    """Epochs there are signing keys for."""
    verified: set[tuple[ServiceName, int]]
    produce: set[Subject]
    consume: set[Subject]
    producers: set[ServiceName]

    def newest(self, topic: Subject, epoch: int) -> KeyName | None:
        held = [name for name in self.names if name[:2] == (topic, epoch)]
        return max(held, default=None)

    def state(self, name: KeyName, current: int) -> KeyState:
        topic, epoch, _ = name
        if name not in self.names or epoch < current - 3:
            return KeyState.DESTROYED
        if epoch > current:
            return KeyState.STAGED
        is_primary = epoch == current and name == self.newest(topic, epoch)
        return KeyState.PRIMARY if is_primary else KeyState.DECRYPT_ONLY

    def sealing(self, topic: Subject, current: int) -> KeyName | None:
        """Return the key that seals: the newest of this epoch, else of the two before it."""
        for epoch in (current, current - 1, current - 2):
            newest = self.newest(topic, epoch)
            if newest is not None and epoch in self.signed:
                return newest
        return None

    def refusal(self, name: KeyName, current: int) -> type[Exception] | None:
        """Return how opening with a key is refused; None if it opens."""
        topic, epoch, _ = name
        if topic not in self.consume:
            return PermissionDeniedError
        if name not in self.names:
            return UnknownKeyError
        return KeyExpiredError if epoch < current - 3 else None

    def pruned(self, oldest: int) -> None:
        """Forget every key of an epoch before ``oldest``."""
        self.names = {name for name in self.names if name[1] >= oldest}
        self.signed = {epoch for epoch in self.signed if epoch >= oldest}
        self.verified = {(who, epoch) for who, epoch in self.verified if epoch >= oldest}


@dataclass
class Plan:
    """What the authority would hand out: the newest generations, permissions, producers."""

    generations: Counter[tuple[Subject, int]] = field(default_factory=Counter)
    produce: set[Subject] = field(default_factory=lambda: set(TOPICS))
    consume: set[Subject] = field(default_factory=lambda: set(TOPICS))
    producers: set[ServiceName] = field(default_factory=lambda: {GATEKEEPER, AUTHCONTROLLER})

    def names(self, current: int) -> set[KeyName]:
        """Return the keys of epochs N-3 … N+1, older generations too."""
        return {
            (topic, epoch, generation)
            for topic in self.produce | self.consume
            for epoch in range(current - 3, current + 2)
            for generation in range(self.generations[topic, epoch] + 1)
        }

    def handed_out(self, current: int) -> Model:
        """Return what the bundle of this moment makes possible."""
        epochs = range(current - 3, current + 2)
        return Model(
            names=self.names(current),
            signed=set(epochs),
            verified={(who, epoch) for who in self.producers for epoch in epochs},
            produce=set(self.produce),
            consume=set(self.consume),
            producers=set(self.producers),
        )
