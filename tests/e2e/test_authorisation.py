"""Who can do what with the messages of the data topics: the whole table, tried for real.

Every party is taken over completely: its certificate and its state are read from the disk, its
bundle is pulled with them, and what its AppRole opens in OpenBao is opened. Then it tries, against
the real servers and under the real keys of whoever receives, to do everything there is.

===============  =================================================================================
column           meaning
===============  =================================================================================
publish          whether the broker lets it publish on the topic
read             how it gets messages from the broker: from the topic's ``durable``, or not at all
bundle           what Metadata answers: ``keys``, one that is ``empty``; ``-`` when it may not ask
key              whether any key it has decrypts what is sealed on the topic
opens            what its own channel says to a good message: ``ok`` or the code of the refusal
as itself        what the receiver says to a message sealed and signed as well as this party can
as the producer  the same, in the name and under the key id of the topic's producer
===============  =================================================================================
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.identity import METADATA, ServiceName, Subject
from svc_core.domain.keys import KeyRing
from svc_core.errors import SvcError
from svc_core.flows.message_crypto import decrypt
from svc_core.flows.secure_channel import SecureChannel
from svc_core.wire import signed_message
from svc_core.wire.signed_message import SignedMessage
from tests.builders import InlineExecutor, make_surroundings
from tests.e2e.data_topics import TOPICS, Topic, bundle_of, on_disk
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.loot import (
    PARTIES,
    Forger,
    Loot,
    ask_for_bundle,
    connected_as,
    keys_in_openbao,
)
from tests.e2e.outsider import Outsider
from tests.e2e.waiting import until

TABLE: Final = """
party           topic                 publish  read     bundle  key  opens                         as itself                     as the producer

gatekeeper      auth.auth-request     yes      -        keys    yes  message.producer_not_allowed  ok                            ok
gatekeeper      gatekeeper.responder  -        durable  keys    yes  ok                            message.producer_not_allowed  message.verification_failed
authcontroller  auth.auth-request     -        durable  keys    yes  ok                            message.producer_not_allowed  message.verification_failed
authcontroller  gatekeeper.responder  yes      -        keys    yes  message.producer_not_allowed  ok                            ok
metadata        auth.auth-request     -        -        -       yes  key.not_available             message.producer_not_allowed  ok
metadata        gatekeeper.responder  -        -        -       yes  key.not_available             message.producer_not_allowed  ok
watcher         auth.auth-request     -        -        empty   -    message.producer_not_allowed  message.producer_not_allowed  message.verification_failed
watcher         gatekeeper.responder  -        -        empty   -    message.producer_not_allowed  message.producer_not_allowed  message.verification_failed
canary          auth.auth-request     -        -        -       -    key.not_available             message.producer_not_allowed  message.verification_failed
canary          gatekeeper.responder  -        -        -       -    key.not_available             message.producer_not_allowed  message.verification_failed
operator        auth.auth-request     yes      -        -       -    key.not_available             message.producer_not_allowed  message.verification_failed
operator        gatekeeper.responder  yes      -        -       -    key.not_available             message.producer_not_allowed  message.verification_failed
"""  # noqa: E501 (a table is read across)
NOTHING: Final = "-"
COLUMNS: Final = ("publish", "read", "bundle", "key", "opens", "as itself", "as the producer")
ONE: Final = json.dumps({"batch": 1, "expires": 5_000_000_000}).encode()
"""A pull of one message, waited for for five seconds."""
TAKES_WITHIN_S: Final = 6.0
REFUSED_WITHIN_S: Final = 20.0

Cell = tuple[str, Subject]
"""A party and a topic."""
Row = Mapping[str, str]


def expected() -> dict[Cell, Row]:
    _, _, *lines = TABLE.splitlines()
    rows = [line.split() for line in lines if line]
    return {
        (party, Subject(topic)): dict(zip(COLUMNS, cells, strict=True))
        for party, topic, *cells in rows
    }


def newest(stack: LoadedStack, topic: Topic, ring: KeyRing, loot: Loot) -> SignedMessage:
    """Return the newest message on the disk whose key is in ``ring``, and in ``loot`` if any is."""
    held = {name for name, key in loot.topic_keys.items() if key.topic == topic.name}
    for kept in reversed(on_disk(stack, topic)):
        message = signed_message.decode(kept.payload)
        is_held = not held or message.encrypt_key_id in held
        if is_held and (topic.name, message.encrypt_key_id) in ring.topics:
            return message
    raise AssertionError(f"nothing on {topic.name} that its consumer could open")


async def verdict(ring: KeyRing | None, service: str, raw: bytes, topic: Subject) -> str:
    """Return what a channel with ``ring`` says to a message: ``ok``, or the code of a refusal."""
    around = make_surroundings(SystemClock())
    async with SecureChannel(around, ServiceName(service), InlineExecutor()) as channel:
        if ring is not None:
            channel.adopt(ring, version=1)
        try:
            await channel.open(raw, topic)
        except SvcError as err:
            return err.code
    return "ok"


class TakenOver:
    """One party, as far as whoever has taken it over gets with one topic."""

    def __init__(self, stack: LoadedStack, party: str, outsider: Outsider, loot: Loot) -> None:
        self.stack = stack
        self.party = party
        self.outsider = outsider
        self.loot = loot

    async def row(self, topic: Topic) -> Row:
        """Try everything; return the row of the table."""
        receiver = await bundle_of(self.stack, topic.consumer)
        good = newest(self.stack, topic, receiver, self.loot)
        forger = Forger(self.loot, topic.name, good.encrypt_key_id, good.key_epoch, good.algorithm)
        itself, producer = (
            forger.message(name, signed_by=signed_by, message_type=good.message_type)
            for name, signed_by in (
                (self.party, self.party),
                (topic.producer, topic.producer if self.makes_keys else self.party),
            )
        )
        other = forger.message(
            topic.consumer if self.party == topic.producer else topic.producer,
            signed_by=self.party,
            message_type=good.message_type,
        )
        return {
            "publish": await self.publishes(other, topic, receiver),
            "read": await self.reads(topic),
            "bundle": self.bundle,
            "key": self.has_key(good),
            "opens": await verdict(
                self.loot.ring, self.party, signed_message.encode(good), topic.name
            ),
            "as itself": await verdict(receiver, topic.consumer, itself, topic.name),
            "as the producer": await verdict(receiver, topic.consumer, producer, topic.name),
        }

    @property
    def makes_keys(self) -> bool:
        """Whether it has the signing keys of others."""
        return {service for service, _ in self.loot.seeds} > {self.party}

    @property
    def bundle(self) -> str:
        """What it got for the asking."""
        if self.loot.ring is None:
            return NOTHING
        return "keys" if self.loot.secrets else "empty"

    def has_key(self, good: SignedMessage) -> str:
        """Say whether any of its keys decrypts a message, whatever its channel thinks of that."""
        header = signed_message.header_aad(good)
        for key in self.loot.topic_keys.values():
            try:
                decrypt(header, good.payload, key)
            except SvcError:
                continue
            return "yes"
        return NOTHING

    async def publishes(self, forged: bytes, topic: Topic, receiver: KeyRing) -> str:
        """Try to publish; what gets through is seen to be refused by who receives it."""
        order = self.stack.order
        assert order is not None
        code = await verdict(receiver, topic.consumer, forged, topic.name)
        before = self.stack.traffic(order).rejected.get(code, 0)
        if not await self.outsider.may_publish(topic.name, forged):
            return NOTHING

        def is_refused() -> bool:
            return self.stack.traffic(order).rejected.get(code, 0) == before + 1

        await until(
            is_refused,
            within_s=REFUSED_WITHIN_S,
            what=f"{topic.consumer} to refuse with {code} what {self.party} forged",
            every_s=0.5,
        )
        return "yes"

    async def reads(self, topic: Topic) -> str:
        """Try every way to a message that lies in the stream; give back what was taken."""
        assert [w for w in topic.other_ways if await self.outsider.may_publish(w, b"{}")] == []
        assert not await self.outsider.may_subscribe(topic.name)
        client = self.outsider.client
        inbox = await client.subscribe(answers := client.new_inbox())
        if not await self.outsider.may_publish(topic.next_message, ONE, reply=answers):
            return NOTHING
        message = await inbox.next_msg(timeout=TAKES_WITHIN_S)
        assert signed_message.decode(message.data).topic == topic.name
        await client.publish(message.reply, b"-NAK")
        await client.flush()
        return "durable"


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.timeout(90)
async def test_a_party_can_do_what_the_table_says_and_nothing_else(
    stack: LoadedStack, party: str, tmp_path: Path
) -> None:
    async with connected_as(stack, party, tmp_path) as outsider:
        ring = await ask_for_bundle(stack, party, outsider)
        loot = Loot() if ring is None else Loot.of_ring(ring)
        if party == METADATA:
            loot = await keys_in_openbao(stack)
        thief = TakenOver(stack, party, outsider, loot)
        found = {topic.name: await thief.row(topic) for topic in TOPICS}

    assert found == {topic: row for (who, topic), row in expected().items() if who == party}


def test_the_table_has_every_party_and_every_topic_once() -> None:
    assert list(expected()) == [(party, topic.name) for party in PARTIES for topic in TOPICS]
