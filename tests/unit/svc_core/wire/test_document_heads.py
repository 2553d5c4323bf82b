"""Heads of parted documents: what is written is read, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.errors import MalformedMessageError
from svc_core.wire import document_heads
from svc_core.wire.document_heads import MAX_SIZE, PART_SIZE, DocumentHead, head_of

NAME = "3-" + "0a" * 32
DIGEST = "0b" * 32
HEAD = {"format": 1, "size": PART_SIZE + 1, "sha256": DIGEST, "parts": [NAME, NAME]}
SMALL = {"format": 1, "size": 1, "sha256": DIGEST, "payload": "AA=="}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
parted_heads = st.integers(2, 5).map(
    lambda count: DocumentHead(count * PART_SIZE, DIGEST, parts=(NAME,) * count)
)


@given(head=st.binary(max_size=100).map(head_of) | parted_heads)
def test_what_is_encoded_decodes_to_the_same(head: DocumentHead) -> None:
    assert document_heads.decode(document_heads.encode(head)) == head


@given(piece=st.binary(max_size=100))
def test_a_part_decodes_to_the_same(piece: bytes) -> None:
    assert document_heads.decode_part(document_heads.encode_part(piece)) == piece


@given(
    entry=st.fixed_dictionaries(
        {},
        optional={
            name: json_values | st.sampled_from([1, DIGEST, [NAME], "AA=="])
            for name in ("format", "size", "sha256", "payload", "parts", "part")
        },
    )
)
def test_any_entry_gives_a_value_or_the_one_error(entry: dict[str, object]) -> None:
    for decode in (document_heads.decode, document_heads.decode_part):
        try:
            decode(entry)
        except MalformedMessageError:
            continue


@pytest.mark.parametrize("head", [HEAD, SMALL], ids=["in parts", "in its head"])
def test_the_examples_to_be_spoilt_are_good(head: dict[str, object]) -> None:
    assert document_heads.decode(head).digest == DIGEST


@pytest.mark.parametrize(
    ("good", "change"),
    [
        pytest.param(SMALL, {"format": 2}, id="another format"),
        pytest.param(SMALL, {"format": None}, id="no format"),
        pytest.param(SMALL, {"size": -1}, id="less than nothing"),
        pytest.param(SMALL, {"size": "1"}, id="size as text"),
        pytest.param(SMALL, {"sha256": 7}, id="no digest"),
        pytest.param(SMALL, {"payload": 7}, id="payload no text"),
        pytest.param(SMALL, {"payload": "A?=="}, id="payload no base64"),
        pytest.param(SMALL, {"payload": "A" * (2 * PART_SIZE + 4)}, id="payload too large"),
        pytest.param(SMALL, {"payload": None}, id="neither payload nor parts"),
        pytest.param(HEAD, {"size": MAX_SIZE + 1}, id="too large"),
        pytest.param(HEAD, {"parts": [NAME]}, id="a part too few"),
        pytest.param(HEAD, {"parts": [NAME] * 3}, id="a part too many"),
        pytest.param(HEAD, {"parts": []}, id="no parts"),
        pytest.param(HEAD, {"parts": NAME}, id="parts no list"),
        pytest.param(HEAD, {"parts": [NAME, 7]}, id="a part without a name"),
        pytest.param(HEAD, {"parts": [NAME, "../../desired"]}, id="a part elsewhere"),
        pytest.param(HEAD, {"parts": [NAME, NAME + "\n"]}, id="a name and more"),
    ],
)
def test_what_is_no_head_is_refused(good: dict[str, object], change: dict[str, object]) -> None:
    with pytest.raises(MalformedMessageError):
        document_heads.decode(good | change)


def test_a_part_is_called_after_its_version_and_its_content() -> None:
    names = {
        document_heads.part_name(piece, version=version)
        for piece in (b"one", b"other")
        for version in (1, 2)
    }

    assert len(names) == 4
