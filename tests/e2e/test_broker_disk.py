"""Who rules a NATS server, and so reads every stream as it lies there, learns what is written."""

import asyncio
import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from devstack.layout import NODES
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.flows.message_crypto import decrypt
from svc_core.wire import auth, framing, signed_message
from tests.e2e.broker_disk import KeptMessage, newest_bytes
from tests.e2e.data_topics import TOPICS, Topic, bundle_of, on_disk
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.loot import KEYS, Loot
from tests.e2e.waiting import until

LOOKED_AT: Final = 100
"""Messages of each topic, the newest."""
OPENED: Final = 20
"""Of these, as many are opened to know what to look for."""
REMEMBERED: Final = 2
"""And as many of these are looked for part by part; of all of them, the users."""
USERS: Final = {f"user{n}" for n in range(10)}
SHORTEST: Final = 16
"""Characters of a text that does not occur by chance."""
IN_CLEAR: Final = AUTH_REQUEST.encode()
"""What does lie there, to see that one who looks finds."""
ROOT: Final = Path(__file__).parents[2]
SCHEMA: Final = ROOT / "libs" / "svc_core" / "wire" / "schemas" / "signed_message.avsc"


async def secrets(stack: LoadedStack) -> dict[str, bytes]:
    """Return the keys in use now, by what they are."""
    found: dict[str, bytes] = {}
    for service in (GATEKEEPER, AUTHCONTROLLER):
        loot = Loot.of_ring(await bundle_of(stack, service))
        now = KEYS.current(datetime.now(UTC))
        used = {key.key_id: key.secret for key in loot.topic_keys.values() if key.epoch == now}
        used |= {key.service: key.seed for key in loot.seeds.values() if key.epoch == now}
        assert len(used) == len(TOPICS) + 1
        found |= {f"key {name}": secret.reveal() for name, secret in used.items()}
        seed = stack.layout.service(service) / "state" / "identity.seed"
        found[f"identity of {service}"] = seed.read_bytes()
    return found


async def payloads(stack: LoadedStack) -> dict[str, bytes]:
    """Return what is said in the newest messages that lie in both streams, by what it is."""
    said: dict[str, bytes] = {}
    for topic in TOPICS:
        ring = await bundle_of(stack, topic.consumer)
        opened = 0
        for kept in reversed(on_disk(stack, topic)):
            message = signed_message.decode(kept.payload)
            key = ring.topics.get((topic.name, message.encrypt_key_id))
            if key is None or opened == OPENED:
                continue
            opened += 1
            payload = decrypt(signed_message.header_aad(message), message.payload, key)
            said |= dict(_texts(topic, payload, is_whole=opened <= REMEMBERED))
    return said


def _texts(topic: Topic, payload: bytes, *, is_whole: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the parts of a payload that nobody would find by chance."""
    if topic.name == AUTH_REQUEST:
        request = auth.decode_request(payload)
        yield request.user_id, request.user_id.encode()
        if is_whole:
            yield f"password hash of {request.user_id}", request.password_hash.encode()
    elif is_whole:
        response = auth.decode_response(payload)
        for name in ("user_token", "identity_token", "authorization_token", "password_hash"):
            text = getattr(response, name)
            if len(text) >= SHORTEST:
                yield f"{name} {text[:SHORTEST]}", text.encode()
        for name in ("identity_key", "authorization_key"):
            secret = getattr(response, name).reveal()
            if secret:
                yield f"{name} {secret.hex()}", secret


def documented(place: str) -> set[str]:
    """Return the names in code type in one row of the threat model's table of what is seen."""
    lines = (ROOT / "docs" / "threat-model.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {place} |")]
    return set(re.findall(r"`([^`]+)`", row))


async def test_whoever_rules_a_server_finds_no_payload_no_user_and_no_key_on_its_disk(
    stack: LoadedStack,
) -> None:
    await until(
        lambda: all(len(on_disk(stack, topic)) > LOOKED_AT for topic in TOPICS),
        within_s=30,
        what="messages on the disk",
    )
    needles = await payloads(stack)
    users, parts = needles.keys() & USERS, needles.keys() - USERS
    assert users
    assert len(parts) > REMEMBERED
    for name, raw in (await secrets(stack)).items():
        needles |= {
            name: raw,
            f"{name} in base64": b64encode(raw).rstrip(b"="),
            f"{name} in hex": raw.hex().encode(),
        }

    for node in NODES:
        directory = stack.layout.node(node)
        assert await asyncio.to_thread(_contained, {"what is there": IN_CLEAR}, directory)
        assert await asyncio.to_thread(_contained, needles, directory) == []


def _contained(needles: Mapping[str, bytes], node: Path) -> list[str]:
    return [
        f"{name} in {path}"
        for path, content in newest_bytes(node)
        for name, raw in needles.items()
        if raw in content
    ]


async def test_whoever_rules_a_server_sees_exactly_what_the_threat_model_says(
    stack: LoadedStack,
) -> None:
    record, sealed, headers = (documented(place) for place in ("fields", "ciphertext", "headers"))
    schema = json.loads(SCHEMA.read_text())
    assert record | sealed == {field["name"] for field in schema["fields"]}
    assert sealed == {"payload"}

    for topic in TOPICS:
        for node in NODES:
            kept = on_disk(stack, topic, node)[-LOOKED_AT:]
            assert kept, (topic.name, node)
            for message in kept:
                _check_nothing_else(message, topic, headers)
        ciphertexts = b"".join(_ciphertext(m) for m in on_disk(stack, topic)[-LOOKED_AT:])
        assert len(zlib.compress(ciphertexts, 9)) >= len(ciphertexts)


def _check_nothing_else(kept: KeptMessage, topic: Topic, headers: set[str]) -> None:
    message = signed_message.decode(kept.payload)
    assert signed_message.encode(message) == kept.payload
    assert (kept.subject, message.topic) == (topic.name, topic.name)
    assert kept.headers.keys() == headers
    assert kept.headers["Nats-Msg-Id"] == message.message_id


def _ciphertext(kept: KeptMessage) -> bytes:
    return framing.decode(signed_message.decode(kept.payload).payload).ciphertext
