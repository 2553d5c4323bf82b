"""The bytes of a batch proof, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.batch_proof import BATCH_LIMIT, BatchProof
from svc_core.errors import MalformedMessageError
from svc_core.wire import batch_proof


@st.composite
def proofs(draw: st.DrawFn) -> BatchProof:
    size = draw(st.integers(2, BATCH_LIMIT))
    hashes = draw(st.integers(1, 6))
    return BatchProof(
        size,
        draw(st.integers(0, size - 1)),
        draw(st.binary(min_size=32, max_size=32)),
        draw(st.binary(min_size=32 * hashes, max_size=32 * hashes)),
    )


@given(proofs())
def test_a_proof_survives_its_encoding(proof: BatchProof) -> None:
    assert batch_proof.decode(batch_proof.encode(proof)) == proof


@given(st.binary(max_size=300))
def test_any_bytes_are_a_proof_or_an_error(raw: bytes) -> None:
    try:
        proof = batch_proof.decode(raw)
    except MalformedMessageError:
        return
    assert batch_proof.encode(proof) == raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", "0 bytes", id="empty"),
        pytest.param(bytes((2, 0)) + bytes(32), "34 bytes", id="no path"),
        pytest.param(bytes((2, 0)) + bytes(63), "65 bytes", id="half a hash"),
        pytest.param(bytes((64, 0)) + bytes(32 * 8), "258 bytes", id="path too long"),
        pytest.param(bytes((1, 0)) + bytes(64), "0 of 1", id="batch of one"),
        pytest.param(bytes((0, 0)) + bytes(64), "0 of 0", id="batch of none"),
        pytest.param(bytes((65, 0)) + bytes(64), "0 of 65", id="batch too large"),
        pytest.param(bytes((3, 3)) + bytes(64), "3 of 3", id="index outside"),
    ],
)
def test_what_is_no_proof_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessageError, match=reason):
        batch_proof.decode(raw)
