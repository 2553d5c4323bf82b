"""Few bytes that claim to be much: what they cost is bounded by what they are.

Counted is memory while decoding and, for the readers in Python, how often input is looked at;
never time.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, SupportsIndex

import pytest

from svc_core.errors import MalformedMessageError
from svc_core.wire import prototype
from svc_core.wire.prototype import Kind
from tests.vectors import avro_by_hand, prototype_shapes
from tests.vectors.wire_codecs import CODECS, RECORDS

SIZE = 64 * 1024
MEMORY = 4 * 1024 * 1024
CLAIMS = [(1 << 63) - 1, 20_000, -20_000, -(1 << 63)]
FILLERS = [
    bytes(SIZE),
    b"\xff" * SIZE,
    b"\x02\x00" * (SIZE // 2),  # maps in maps, each with an empty key
    b"\x04ab" * (SIZE // 3),
    b"".join(b"\x08%04x\x00" % n for n in range(SIZE // 6)),  # different keys
    b"".join(b"\x08%04x\x02\x00\x00" % n for n in range(SIZE // 8)),  # each with a map
]
SMALLEST: dict[str, Any] = {"string": "", "bytes": b"", "long": 0, "boolean": False}
DEEP = {
    "lists": b"[" * SIZE,
    "objects": b'{"a":' * (SIZE // 5),
    "digits": b'{"version":' + b"9" * SIZE + b"}",
    "fraction": b'{"version":0.' + b"9" * SIZE + b"}",
    "exponent": b'{"version":1e' + b"9" * SIZE + b"}",
    "one text": b'{"profile":"' + b"x" * SIZE,
    "escapes": b'{"profile":"' + rb"\u0041" * (SIZE // 6),
    "many names": b"{" + b",".join(b'"%04x":{}' % n for n in range(SIZE // 12)) + b"}",
    "empty issuers": b'{"issuers":[' + b"{}," * (SIZE // 3),
    "empty identities": b'{"identities":[' + b"{}," * (SIZE // 3),
}


def smallest(shape: Any) -> Any:
    """Return the value of ``shape`` with the fewest bytes."""
    if isinstance(shape, list):
        return smallest(shape[0])
    kind = shape if isinstance(shape, str) else shape["type"]
    if kind == "record":
        return {field["name"]: smallest(field["type"]) for field in shape["fields"]}
    return (
        {"map": {}, "array": [], "null": None}.get(kind) if kind not in SMALLEST else SMALLEST[kind]
    )


def beginnings(shape: dict[str, Any]) -> Iterator[bytes]:
    """Yield what comes before each field of a record, all fields as small as can be."""
    written = b""
    for field in shape["fields"]:
        yield written
        written += avro_by_hand.write(field["type"], smallest(field["type"]))


def bombs(shape: dict[str, Any], tag: bytes, size: int = SIZE) -> Iterator[bytes]:
    """Yield records that say at each field that more follows than there is."""
    for start in beginnings(shape):
        for claim in CLAIMS:
            count = avro_by_hand.write("long", claim)
            for filler in FILLERS:
                yield (tag + start + count + filler)[:size]
        # An integer that does not end, and one too many.
        yield (tag + start + b"\xff" * size)[:size]
        yield (tag + start + b"\x80" * size)[: size - 1] + b"\x01"


def peak(decode: Callable[[bytes], object], raw: bytes) -> int:
    """Return the most bytes that were allocated at once while ``raw`` was decoded."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with suppress(MalformedMessageError):
        decode(raw)
    return tracemalloc.get_traced_memory()[1] - before


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_claims_to_be_large_costs_little(name: str) -> None:
    codec = RECORDS[name]
    decode, size = codec.decode, min(SIZE, codec.limit or SIZE)

    worst = max(peak(decode, raw) for raw in bombs(codec.by_hand(), codec.tag, size))

    assert worst < MEMORY


@pytest.mark.parametrize("kind", Kind)
def test_the_prototypes_too(kind: Kind) -> None:
    size = min(SIZE, prototype.limit(kind))

    worst = max(
        peak(lambda raw: prototype.decode(raw, kind=kind), raw)
        for raw in bombs(prototype_shapes.schema(kind), b"", size)
    )

    assert worst < MEMORY


@pytest.mark.parametrize("name", ["desired state", "status", "identities"])
@pytest.mark.parametrize("raw", DEEP.values(), ids=DEEP)
def test_json_that_is_deep_or_wide_costs_little(name: str, raw: bytes) -> None:
    assert peak(CODECS[name].decode, raw[:SIZE]) < MEMORY


class WatchedBytes(bytes):
    """Bytes that count how often they were looked into."""

    looks = 0

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        self.looks += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("name", RECORDS)
def test_an_integer_without_end_is_given_up_after_ten_bytes(name: str) -> None:
    codec = RECORDS[name]
    for start in beginnings(codec.by_hand()):
        raw = WatchedBytes((codec.tag + start + b"\xff" * SIZE)[: codec.limit])

        with pytest.raises(MalformedMessageError):
            codec.decode(raw)

        assert raw.looks < 40 + len(start)
