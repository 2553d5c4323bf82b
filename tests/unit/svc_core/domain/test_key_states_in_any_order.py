"""Whatever happens to a ring in whatever order, it does what a model that counts epochs says."""

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName, Subject
from svc_core.domain.key_states import KeyState
from svc_core.domain.key_usage import KeyUsage
from svc_core.domain.keys import (
    KeyRing,
    SigningKey,
    TopicKey,
    TopicPermission,
    VerifyKey,
)
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import (
    KeyExhaustedError,
    KeyExpiredError,
    KeyNotAvailableError,
    PermissionDeniedError,
    UnknownKeyError,
)
from svc_core.flows.admission import choose_sealing_keys
from tests.builders import DEMO, NOW, KeyAuthority
from tests.unit.svc_core.domain.key_ring_model import TOPICS, KeyName, Plan, key_id_of

MOMENT = timedelta(microseconds=1)
PERIOD = DEMO.keys.period
ORDER = list(KeyState)
MOST_SEALS = 5
REMEMBERED = 10
"""For how many epochs a key is looked at; it is destroyed after four."""
SOME_TOPIC = st.sampled_from(TOPICS)


class KeyLives(RuleBasedStateMachine):
    """One service's ring through bundles, rolls, outages and sleep, beside the model of it."""

    named = Bundle("named")
    """Keys that some message named: of this service, of a faster peer, of any epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.keys = KeyAuthority()
        self.plan = Plan()
        self.usage = KeyUsage(MOST_SEALS)
        self.sealed: Counter[KeyName] = Counter()
        self.seen: dict[KeyName, TopicKey] = {}
        self.reached: dict[KeyName, KeyState] = {}
        self.is_authority_away = False
        self.adopt()

    @property
    def current(self) -> int:
        return DEMO.keys.current(self.now).number

    def topic_key(self, name: KeyName) -> TopicKey:
        topic, epoch, generation = name
        return self.keys.topic_key(topic, Epoch(epoch), generation=generation)

    def bundle_ring(self) -> KeyRing:
        """Return the ring of the newest bundle."""
        epochs = range(self.current - 3, self.current + 2)
        held = {name: self.topic_key(name) for name in self.plan.names(self.current)}
        self.seen = held | {n: k for n, k in self.seen.items() if n[1] > self.current - REMEMBERED}
        return KeyRing.of(
            GATEKEEPER,
            signing=[self.signing_key(epoch) for epoch in epochs],
            verify=[self.verify_key(who, e) for who in self.plan.producers for e in epochs],
            topics=held.values(),
            permissions=[
                TopicPermission(topic, topic in self.plan.produce, topic in self.plan.consume)
                for topic in sorted(self.plan.produce | self.plan.consume)
            ],
            producers={topic: frozenset(self.plan.producers) for topic in self.plan.consume},
        )

    def signing_key(self, epoch: int) -> SigningKey:
        return SigningKey(GATEKEEPER, Epoch(epoch), "any", SecretBytes(b""), *self.life(epoch))

    def verify_key(self, who: ServiceName, epoch: int) -> VerifyKey:
        return VerifyKey(who, Epoch(epoch), "any", b"", *self.life(epoch))

    def life(self, epoch: int) -> tuple[datetime, datetime]:
        return DEMO.keys.starts(Epoch(epoch)), DEMO.keys.expires(Epoch(epoch))

    # --- the authority ---

    @rule()
    @precondition(lambda self: not self.is_authority_away)
    def adopt(self) -> None:
        self.ring = self.bundle_ring()
        self.model = self.plan.handed_out(self.current)

    @rule(topic=SOME_TOPIC, ahead=st.integers(0, 1))
    def roll(self, topic: Subject, ahead: int) -> None:
        self.plan.generations[topic, self.current + ahead] += 1

    @rule()
    def revoke_the_other_producer(self) -> None:
        self.plan.producers.discard(AUTHCONTROLLER)
        for topic in TOPICS:
            self.roll(topic, 0)
            self.roll(topic, 1)

    @rule(is_produce=st.booleans())
    def remove_a_permission(self, is_produce: bool) -> None:
        (self.plan.produce if is_produce else self.plan.consume).discard(TOPICS[1])

    @rule()
    def the_authority_leaves_or_returns(self) -> None:
        self.is_authority_away = not self.is_authority_away

    # --- time ---

    @rule(share=st.floats(0, 1, exclude_max=True))
    def a_moment_passes(self, share: float) -> None:
        self.now += share * PERIOD

    @rule(epochs=st.integers(1, 6), before=st.sampled_from([MOMENT, timedelta(0)]))
    def a_boundary_comes(self, epochs: int, before: timedelta) -> None:
        boundary = DEMO.keys.starts(Epoch(self.current + epochs))
        self.now = max(self.now, boundary - before)

    # --- this service and its peers ---

    @rule(topic=SOME_TOPIC, messages=st.integers(1, 3), target=named)
    def seal(self, topic: Subject, messages: int) -> object:
        key, name = self.sealing_key(topic), self.model.sealing(topic, self.current)
        if key is None or name is None:
            return multiple()
        for _ in range(messages):
            self.charge(name, key)
        return name

    def charge(self, name: KeyName, key: TopicKey) -> None:
        is_exhausted = self.sealed[name] == MOST_SEALS
        try:
            self.usage.charge(key)
            self.sealed[name] += 1
            assert not is_exhausted
        except KeyExhaustedError:
            assert is_exhausted
        assert self.usage.used(key) == self.sealed[name]

    def sealing_key(self, topic: Subject) -> TopicKey | None:
        try:
            keys = choose_sealing_keys(self.ring, topic, schedule=DEMO.keys, now=self.now)
        except PermissionDeniedError:
            assert topic not in self.model.produce
            return None
        except KeyNotAvailableError:
            assert self.model.sealing(topic, self.current) is None
            return None
        assert topic in self.model.produce
        return keys.topic_key

    @rule(topic=SOME_TOPIC, share=st.floats(0, 1), target=named)
    def a_faster_peer_seals(self, topic: Subject, share: float) -> KeyName:
        epoch = DEMO.keys.current(self.now + share * DEMO.skew).number
        return topic, epoch, self.plan.generations[topic, epoch]

    @rule(topic=SOME_TOPIC, age=st.integers(-1, 6), generation=st.integers(0, 2), target=named)
    def an_old_message_turns_up(self, topic: Subject, age: int, generation: int) -> KeyName:
        return topic, self.current - age, generation

    @rule(name=named)
    def open(self, name: KeyName) -> None:
        assert self.opening_refusal(name) is self.model.refusal(name, self.current)

    @rule(periods=st.integers(0, 2))
    def prune(self, periods: int) -> None:
        self.ring = self.ring.pruned(self.now, grace=periods * PERIOD)
        self.usage.prune(self.now)
        self.model.pruned(self.current - 3 - periods)
        for name in [name for name in self.sealed if name[1] < self.current - 3]:
            del self.sealed[name]

    def opening_refusal(self, name: KeyName) -> type[Exception] | None:
        key_id = key_id_of(name)
        try:
            assert self.ring.opening_key(name[0], key_id, now=self.now).key_id == key_id
        except (PermissionDeniedError, UnknownKeyError, KeyExpiredError) as err:
            return type(err)
        return None

    # --- what holds ---

    @invariant()
    def every_key_has_the_state_of_its_epoch(self) -> None:
        for name, key in self.seen.items():
            assert self.ring.state_of(key, now=self.now) is self.model.state(name, self.current)

    @invariant()
    def states_only_move_forward(self) -> None:
        for name, key in self.seen.items():
            state = self.ring.state_of(key, now=self.now)
            assert ORDER.index(state) >= ORDER.index(self.reached.get(name, KeyState.STAGED))
            self.reached[name] = state

    @invariant()
    def each_topic_with_a_key_of_this_epoch_has_one_primary(self) -> None:
        held = self.ring.topics.values()
        primaries = Counter(
            key.topic for key in held if self.ring.state_of(key, now=self.now) is KeyState.PRIMARY
        )
        assert primaries == Counter({k.topic for k in held if k.epoch.number == self.current})

    @invariant()
    def the_primary_seals_or_without_one_the_newest_of_two_epochs_before(self) -> None:
        for topic in TOPICS:
            key, name = self.sealing_key(topic), self.model.sealing(topic, self.current)
            if key is None:
                continue
            assert name is not None
            assert key.key_id == key_id_of(name)
            has_primary = self.model.newest(topic, self.current) is not None
            expected = KeyState.PRIMARY if has_primary else KeyState.DECRYPT_ONLY
            assert self.ring.state_of(key, now=self.now) is expected

    @invariant()
    def every_valid_key_opens_and_no_destroyed_one_does(self) -> None:
        for name, key in self.seen.items():
            is_destroyed = self.ring.state_of(key, now=self.now) is KeyState.DESTROYED
            may_consume = name[0] in self.model.consume
            opens = self.opening_refusal(name) is None
            assert opens == (may_consume and not is_destroyed)

    @invariant()
    def only_producers_are_believed_and_only_for_four_epochs(self) -> None:
        for who in (GATEKEEPER, AUTHCONTROLLER):
            for topic in TOPICS:
                is_producer = who in self.model.producers and topic in self.model.consume
                assert self.ring.may_produce(who, topic) == is_producer
            for epoch in range(self.current - 4, self.current + 2):
                is_known = (who, epoch) in self.model.verified and epoch >= self.current - 3
                assert self.verifies(who, epoch) == is_known

    def verifies(self, who: ServiceName, epoch: int) -> bool:
        try:
            return self.ring.verify_key(who, epoch, now=self.now).epoch.number == epoch
        except (UnknownKeyError, KeyExpiredError):
            return False

    @invariant()
    def it_signs_in_the_newest_epoch_it_has_a_key_for(self) -> None:
        assert self.ring.newest_epoch == max(self.model.signed, default=-1)


KeyLivesTest = KeyLives.TestCase
KeyLivesTest.settings = settings(max_examples=120, stateful_step_count=40)
