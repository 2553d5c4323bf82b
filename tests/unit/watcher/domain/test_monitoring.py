"""What servers say of themselves: any bytes give a value or one error."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watcher.domain.monitoring import (
    UNKNOWN,
    LiveConnection,
    ServerFacts,
    count_by_issuer,
    issuer_of,
    read_connz,
    read_reload_error,
    read_varz,
)
from svc_core.errors import MalformedMessageError

Reader = Callable[[bytes], object]
READERS = [read_varz, read_connz, read_reload_error]

VARZ: dict[str, Any] = {
    "server": {"name": "n1", "id": "NABC", "cluster": "c"},
    "data": {
        "config_load_time": "2026-01-01T00:00:00.5Z",
        "tags": ["zone:a", "material:0f0f", "material:later"],
    },
}
CONNZ: dict[str, Any] = {
    "data": {
        "connections": [
            {
                "cid": 7,
                "authorized_user": "spiffe://x/sa/gatekeeper",
                "tls_peer_certs": [{"cert_sha256": "AA"}, {"cert_sha256": "BB"}],
            },
            {"cid": 8},
        ]
    }
}


def test_varz_says_who_it_is_what_it_loaded_and_when() -> None:
    facts = read_varz(msgspec.json.encode(VARZ))

    assert facts == ServerFacts("n1", "NABC", "2026-01-01T00:00:00.5Z", "0f0f")


@pytest.mark.parametrize("tags", [None, [], ["zone:a"], [7]])
def test_a_server_without_our_tag_has_loaded_nothing_of_ours(tags: object) -> None:
    answer = VARZ | {"data": {"config_load_time": "t", "tags": tags}}

    assert read_varz(msgspec.json.encode(answer)).material == ""


def test_connz_lists_connections_with_the_certificates_they_sent() -> None:
    assert read_connz(msgspec.json.encode(CONNZ)) == (
        LiveConnection(7, "spiffe://x/sa/gatekeeper", ("aa", "bb")),
        LiveConnection(8, "", ()),
    )


@pytest.mark.parametrize("data", [{}, {"connections": None}, {"connections": []}])
def test_a_server_without_connections_has_none(data: dict[str, Any]) -> None:
    assert read_connz(msgspec.json.encode({"data": data})) == ()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param({}, "", id="nothing said"),
        pytest.param({"error": None}, "", id="no error"),
        pytest.param({"error": {"code": 500, "description": "no file"}}, "no file", id="why"),
        pytest.param({"error": {"code": 500}}, "no reason given", id="not why"),
        pytest.param({"error": "no file"}, "no file", id="plain text"),
    ],
)
def test_a_reload_says_what_went_wrong(answer: dict[str, Any], error: str) -> None:
    assert read_reload_error(msgspec.json.encode(answer)) == error


# --- totality -----------------------------------------------------------------------------------

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
fields = st.sampled_from(
    ["server", "data", "name", "id", "config_load_time", "tags", "connections", "cid", "error"]
)
alike = st.recursive(
    json,
    lambda inner: st.dictionaries(fields, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("read", READERS)
@given(raw=st.binary(max_size=64) | alike.map(msgspec.json.encode))
def test_any_bytes_give_a_value_or_one_error(read: Reader, raw: bytes) -> None:
    with suppress(MalformedMessageError):
        read(raw)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="a tower of brackets"),
        pytest.param(b"{}trailing", id="something after the end"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
    ],
)
def test_what_is_no_object_is_refused_by_every_reader(read: Reader, raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        read(raw)


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        pytest.param(read_varz, b'{"server":{"name":"n","id":"i"}}', id="no data"),
        pytest.param(read_varz, b'{"server":"n1","data":{}}', id="a server that is text"),
        pytest.param(
            read_varz,
            b'{"server":{"name":"n","id":"i"},"data":{"config_load_time":"t","tags":7}}',
            id="tags that are a number",
        ),
        pytest.param(read_connz, b'{"data":{"connections":[{}]}}', id="a connection without id"),
        pytest.param(read_connz, b'{"data":{"connections":[7]}}', id="a connection as number"),
        pytest.param(
            read_connz, b'{"data":{"connections":[{"cid":1e999}]}}', id="an id without end"
        ),
        pytest.param(read_connz, b'{"data":7}', id="data that is a number"),
        pytest.param(
            read_connz, b'{"data":{"connections":[{"cid":1,"tls_peer_certs":[7]}]}}', id="no cert"
        ),
    ],
)
def test_an_object_of_another_shape_is_refused(read: Reader, raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        read(raw)


# --- whose leaf ---------------------------------------------------------------------------------

ISSUERS = {"bb": "ca-1-1", "cc": "ca-2-1"}


def connection(*fingerprints: str) -> LiveConnection:
    return LiveConnection(1, "user", fingerprints)


@pytest.mark.parametrize(
    ("fingerprints", "name"),
    [
        pytest.param(("aa", "bb"), "ca-1-1", id="leaf, then its issuer"),
        pytest.param(("aa", "dd", "cc"), "ca-2-1", id="an issuer further up"),
        pytest.param(("bb",), UNKNOWN, id="the leaf itself is no issuer"),
        pytest.param(("aa", "dd"), UNKNOWN, id="an issuer nobody knows"),
        pytest.param((), UNKNOWN, id="no certificate"),
    ],
)
def test_an_issuer_is_known_by_its_certificate(fingerprints: tuple[str, ...], name: str) -> None:
    assert issuer_of(connection(*fingerprints), ISSUERS) == name


def test_connections_are_counted_by_issuer() -> None:
    live = [connection("a", "bb"), connection("b", "bb"), connection("c", "cc"), connection()]

    assert count_by_issuer(live, ISSUERS) == {"ca-1-1": 2, "ca-2-1": 1, UNKNOWN: 1}
