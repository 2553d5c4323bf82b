"""What is large is sealed here, and only its key goes to whoever wraps."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metadata.adapters.envelope_wrap import EnvelopeWrap
from svc_core.errors import MalformedMessageError, VerificationError
from tests.builders import fixed_bytes, seeded_entropy
from tests.fakes.memory_key_wrap import MemoryKeyWrap

PLAINTEXT = b"the keys of one epoch"
LARGE = fixed_bytes("large", 300_000)


@dataclass
class WatchedWrap:
    """A wrap that remembers what it was shown."""

    inner: MemoryKeyWrap = field(default_factory=MemoryKeyWrap)
    seen: list[bytes] = field(default_factory=list)

    async def wrap(self, plaintext: bytes) -> str:
        self.seen.append(plaintext)
        return await self.inner.wrap(plaintext)

    async def unwrap(self, wrapped: str) -> bytes:
        return await self.inner.unwrap(wrapped)


def make_envelope(inner: WatchedWrap | MemoryKeyWrap | None = None) -> EnvelopeWrap:
    return EnvelopeWrap(inner or MemoryKeyWrap(), seeded_entropy())


@given(plaintext=st.binary(max_size=200) | st.just(LARGE))
async def test_what_is_wrapped_comes_back(plaintext: bytes) -> None:
    wrapped = await make_envelope().wrap(plaintext)

    assert await make_envelope().unwrap(wrapped) == plaintext


@pytest.mark.parametrize("plaintext", [PLAINTEXT, LARGE], ids=["small", "large"])
async def test_only_a_fresh_key_is_shown_to_whoever_wraps(plaintext: bytes) -> None:
    inner = WatchedWrap()
    envelope = make_envelope(inner)

    texts = {await envelope.wrap(plaintext) for _ in range(3)}

    assert [len(key) for key in inner.seen] == [32, 32, 32]
    assert len(set(inner.seen)) == len(texts) == 3


async def test_what_was_wrapped_whole_is_unwrapped_still() -> None:
    inner = MemoryKeyWrap()

    assert await make_envelope(inner).unwrap(await inner.wrap(PLAINTEXT)) == PLAINTEXT


async def test_a_key_beside_which_it_was_not_sealed_opens_nothing() -> None:
    entropy, inner = seeded_entropy(), MemoryKeyWrap()
    first, other = [await EnvelopeWrap(inner, entropy).wrap(PLAINTEXT) for _ in range(2)]
    mixed = " ".join([*first.split(" ")[:2], other.split(" ")[2]])

    with pytest.raises(VerificationError):
        await make_envelope(inner).unwrap(mixed)


async def test_any_change_to_the_content_is_noticed() -> None:
    head, key, content = (await make_envelope().wrap(PLAINTEXT)).split(" ")

    for place in range(0, len(content), 7):
        letter = "A" if content[place] != "A" else "B"
        changed = f"{head} {key} {content[:place]}{letter}{content[place + 1 :]}"
        with pytest.raises((VerificationError, MalformedMessageError)):
            await make_envelope().unwrap(changed)


async def spoilt(case: str) -> str:
    head, key, content = (await make_envelope().wrap(PLAINTEXT)).split(" ")
    short_key = await MemoryKeyWrap().wrap(b"short")
    return {
        "no content": f"{head} {key}",
        "a field too many": f"{head} {key} {content} {content}",
        "content no base64": f"{head} {key} ?{content}",
        "content cut short": f"{head} {key} {content[:8]}",
        "a key of another size": f"{head} {short_key} {content}",
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "no content",
        "a field too many",
        "content no base64",
        "content cut short",
        "a key of another size",
    ],
)
async def test_what_is_no_envelope_is_refused(case: str) -> None:
    wrapped = await spoilt(case)

    with pytest.raises(MalformedMessageError):
        await make_envelope().unwrap(wrapped)
