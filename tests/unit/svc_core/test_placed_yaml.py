import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import ConfigError
from svc_core.placed_yaml import MAX_SIZE, PlacedYaml, parse_yaml


def test_values_are_plain() -> None:
    parsed = parse_yaml(b'a: 1\nb: [x, "y", 2.5, true, null]\nc: {d: 0x10}\n', name="f")

    assert parsed.data == {"a": 1, "b": ["x", "y", 2.5, True, None], "c": {"d": 16}}
    assert [type(item) for item in parsed.data["b"]] == [str, str, float, bool, type(None)]


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse_yaml(b"# nothing\n", name="f").data == {}


@pytest.mark.parametrize(
    ("location", "place"),
    [
        pytest.param((), "f:1:1", id="the whole file"),
        pytest.param(("nats",), "f:2:1", id="a name"),
        pytest.param(("nats", "servers", 1), "f:4:5", id="an item of a list"),
        pytest.param(("nats", "missing"), "f:2:1", id="a missing name: its parent"),
        pytest.param(("missing", 3), "f:1:1", id="a missing parent: the file"),
    ],
)
def test_nodes_know_their_place(location: tuple[str | int, ...], place: str) -> None:
    parsed = parse_yaml(b"profile: demo\nnats:\n  servers: [a,\n    b]\n", name="f")

    assert parsed.place(location) == place


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"a: 1\na: 2\n", "f:2:1: found duplicate key", id="duplicate key"),
        pytest.param(b"a: &x 1\nb: *x\n", "f:2:4: aliases are not allowed", id="alias"),
        pytest.param(b"a: !!str 1\n", "f:1:4: tags are not allowed", id="tag"),
        pytest.param(b"- 1\n", "f:1:1: want settings as", id="a list at the top"),
        pytest.param(b"1: 2\n", "f:1:1: name 1 must be text", id="a number as a name"),
        pytest.param(b"a: 1\n---\nb: 2\n", "f:2:1: but found another document", id="two documents"),
        pytest.param(b"a: [1,\n", "f:2:1: expected the node content", id="unfinished"),
        pytest.param(b"a: " + b"[" * 999, "f:1:35: nested deeper than 32", id="too deep"),
        pytest.param(b"a: \xff\n", "f: not UTF-8 at byte 3", id="not text"),
        pytest.param(b"a: \x00\n", "f: not YAML", id="control characters"),
        pytest.param(b"a: 2020-13-45\n", "f: not YAML: month", id="a date that does not exist"),
        pytest.param(b"#" * (MAX_SIZE + 1), "more than the 1048576 allowed", id="too large"),
    ],
)
def test_what_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(raw, name="f")

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_file_or_one_error(raw: bytes) -> None:
    try:
        parsed = parse_yaml(raw, name="f")
    except ConfigError:
        return
    assert isinstance(parsed, PlacedYaml)
