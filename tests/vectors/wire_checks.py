"""What must hold for any bytes at every decoder; Hypothesis and the fuzzer both ask it.

A decoder returns a value or raises `MalformedMessageError`. What it takes is the only encoding of
that value, and where it is Avro, a reader written by hand takes it too and reads the same.
"""

from collections.abc import Callable, Mapping
from functools import partial

from svc_core.errors import MalformedMessageError
from svc_core.wire import prototype
from svc_core.wire.prototype import Kind
from svc_core.wire.records import RecordCodec
from tests.vectors import avro_by_hand, prototype_shapes
from tests.vectors.wire_codecs import CODECS, LOOSE, RECORDS, plain

Check = Callable[[bytes], bool]

_SHIPPED = {
    (codec.schema, codec.tag): RecordCodec.of(codec.schema, tag=codec.tag, limit=codec.limit or 0)
    for codec in RECORDS.values()
}


def check_codec(name: str, raw: bytes) -> bool:
    """Say whether the decoder called ``name`` takes ``raw``; what must not happen is an error."""
    codec = CODECS[name]
    if codec.schema:
        _check_record(name, raw)
    try:
        value = codec.decode(raw)
    except MalformedMessageError:
        return False
    if name not in LOOSE and codec.encode(value) != raw:
        raise AssertionError(f"{name}: another encoding of the same value was taken")
    return True


def check_prototype(kind: Kind, raw: bytes) -> bool:
    """Say whether ``raw`` can be inspected as ``kind``."""
    by_hand = _by_hand(prototype_shapes.schema(kind), raw, ordered=False)
    try:
        inspected = prototype.decode(raw, kind=kind)
    except MalformedMessageError:
        taken = None
    else:
        taken = plain(inspected.fields)
    if len(raw) <= prototype.limit(kind) and taken != plain(by_hand):
        raise AssertionError(f"the prototype's {kind}: the reader by hand does not agree")
    return taken is not None


def _check_record(name: str, raw: bytes) -> None:
    codec = CODECS[name]
    try:
        record = _SHIPPED[codec.schema, codec.tag].decode(raw)
    except MalformedMessageError:
        record = None
    fits = codec.limit is None or len(raw) <= codec.limit
    tagged = raw.startswith(codec.tag)
    by_hand = _by_hand(codec.by_hand(), raw[len(codec.tag) :]) if fits and tagged else None
    if record != by_hand:
        raise AssertionError(f"{name}: the reader by hand does not agree")


def _by_hand(schema: avro_by_hand.Schema, raw: bytes, *, ordered: bool = True) -> object:
    try:
        read: object = avro_by_hand.read(schema, raw, ordered=ordered)
    except avro_by_hand.NotAvroError:
        return None
    return read


CHECKS: Mapping[str, Check] = {
    **{name: partial(check_codec, name) for name in CODECS},
    **{f"prototype_{kind.name.lower()}": partial(check_prototype, kind) for kind in Kind},
}
"""By name of the decoder."""
