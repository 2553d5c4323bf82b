"""What is encoded decodes to the same; any bytes give a value or the one error, at every decoder.

What else must hold of bytes that are taken is said in `tests.vectors.wire_checks`: they are the
only encoding of their value, and a reader written by hand reads the same.
"""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire import prototype, signed_message
from svc_core.wire.prototype import Kind
from tests.builders import make_message
from tests.unit.svc_core.wire.strategies import VALUES
from tests.vectors import vector_files
from tests.vectors.wire_checks import CHECKS, check_codec
from tests.vectors.wire_codecs import CODECS, RECORDS, plain

VECTORS = [vector_files.load(name) for name in vector_files.names()]
SAMPLES: Mapping[str, list[bytes]] = {
    name: [v.raw for v in VECTORS if name in {v.codec, v.name}] for name in CHECKS
}
every_codec = pytest.mark.parametrize("name", CODECS)
every_record = pytest.mark.parametrize("name", RECORDS)
every_decoder = pytest.mark.parametrize("name", CHECKS)


def test_every_decoder_has_samples_and_every_codec_a_strategy() -> None:
    assert [name for name, samples in SAMPLES.items() if not samples] == []
    assert VALUES.keys() == CODECS.keys()


@every_codec
@settings(max_examples=50)
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same(name: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[name])

    raw = CODECS[name].encode(value)

    assert plain(CODECS[name].decode(raw)) == plain(value)
    assert check_codec(name, raw)


@every_decoder
def test_every_sample_is_taken(name: str) -> None:
    assert all(CHECKS[name](raw) for raw in SAMPLES[name])


@every_decoder
@settings(max_examples=50)
@given(raw=st.binary(max_size=300))
def test_any_bytes_give_a_value_or_the_one_error(name: str, raw: bytes) -> None:
    tag = CODECS[name].tag if name in CODECS else b""

    CHECKS[name](raw)
    CHECKS[name](tag + raw)


@every_decoder
@settings(max_examples=50)
@given(data=st.data())
def test_any_damage_gives_a_value_or_the_one_error(name: str, data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(SAMPLES[name])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["change", "insert", "cut", "repeat"])):
            case "change":
                raw[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, raw[place] ^ 1]))
            case "insert":
                raw[place:place] = data.draw(st.binary(min_size=1, max_size=12))
            case "cut":
                del raw[place : place + data.draw(st.integers(1, 40))]
                raw = raw or bytearray(1)
            case _:
                raw[place:place] = raw[place : place + data.draw(st.integers(1, 40))]

    CHECKS[name](bytes(raw))


# A shorter ciphertext is a ciphertext too, a shorter path a path.
@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"framing", "batch proof"}))
def test_no_cut_decodes(name: str) -> None:
    raw = SAMPLES[name][0]
    step = max(1, len(raw) // 500)

    taken = [size for size in range(0, len(raw) - 1, step) if CHECKS[name](raw[:size])]

    assert taken == []


@every_record
def test_trailing_bytes_are_an_error(name: str) -> None:
    with pytest.raises(MalformedMessageError):
        RECORDS[name].decode(SAMPLES[name][0] + b"\0")


@every_record
def test_another_format_tag_is_an_error(name: str) -> None:
    raw = SAMPLES[name][0]

    with pytest.raises(MalformedMessageError, match="tag"):
        RECORDS[name].decode(raw[:1] + b"2" + raw[2:])


def test_no_two_records_share_a_tag() -> None:
    tags = {codec.tag: codec.schema for codec in RECORDS.values()}

    # A signing key and its public half are the same record.
    assert len(set(tags.values())) == len(tags) == len(RECORDS) - 1


@every_record
def test_a_tag_is_that_of_its_record(name: str) -> None:
    assert all(raw.startswith(RECORDS[name].tag) for raw in SAMPLES[name])


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.limit])
def test_more_bytes_than_the_limit_are_not_even_looked_at(name: str) -> None:
    limit = CODECS[name].limit
    assert limit is not None

    with pytest.raises(OversizedMessageError):
        CODECS[name].decode(bytes(limit + 1))


@pytest.mark.parametrize("kind", Kind)
def test_more_bytes_than_the_limit_are_not_inspected(kind: Kind) -> None:
    with pytest.raises(OversizedMessageError):
        prototype.decode(bytes(prototype.limit(kind) + 1), kind=kind)


def test_a_value_above_the_limit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="limit is 65536"):
        signed_message.encode(make_message(payload=bytes(64 * 1024)))
