"""Trees are those of RFC 9162, and a path proves one leaf at one index of one size."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.crypto import merkle
from svc_core.domain.batch_proof import BATCH_LIMIT
from svc_core.errors import VerificationError
from tests.builders import fixed_bytes

SIZES = range(1, BATCH_LIMIT + 6)


def leaves(size: int) -> list[bytes]:
    return [fixed_bytes(f"leaf {index}") for index in range(size)]


def tree_hash(hashes: list[bytes]) -> bytes:
    """Return MTH of RFC 9162, section 2.1.1, over leaves that are hashed already."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_hash(hashes[:split]) + tree_hash(hashes[split:])).digest()


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_that_of_the_recursive_definition(size: int) -> None:
    root, _ = merkle.tree(leaves(size))

    assert root == tree_hash(leaves(size))


@pytest.mark.parametrize("size", SIZES)
def test_every_path_leads_to_the_root_from_its_own_index_only(size: int) -> None:
    hashes = leaves(size)
    root, paths = merkle.tree(hashes)

    for index, path in enumerate(paths):
        for claimed in range(size):
            assert leads(hashes[index], claimed, size, path, root) == (claimed == index)


def leads(leaf: bytes, index: int, size: int, path: bytes, root: bytes) -> bool:
    try:
        return merkle.root_of(leaf, index=index, size=size, path=path) == root
    except VerificationError:
        return False


@given(data=st.data(), size=st.integers(2, BATCH_LIMIT))
def test_no_changed_path_leads_to_the_root(data: st.DataObject, size: int) -> None:
    hashes = leaves(size)
    root, paths = merkle.tree(hashes)
    index = data.draw(st.integers(0, size - 1))
    path = bytearray(paths[index])
    at = data.draw(st.integers(0, len(path) * 8 - 1))
    path[at // 8] ^= 1 << at % 8

    assert not leads(hashes[index], index, size, bytes(path), root)


@pytest.mark.parametrize("size", [2, 3, 63, 64])
def test_a_path_too_short_or_too_long_is_refused(size: int) -> None:
    hashes = leaves(size)
    _, paths = merkle.tree(hashes)

    for wrong in (paths[0][:-32], paths[0] + bytes(32), paths[0][:-1], b""):
        with pytest.raises(VerificationError):
            merkle.root_of(hashes[0], index=0, size=size, path=wrong)


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_an_index_outside_the_tree_is_refused(index: int) -> None:
    hashes = leaves(5)
    _, paths = merkle.tree(hashes)

    with pytest.raises(VerificationError):
        merkle.root_of(hashes[0], index=index, size=5, path=paths[0])


def test_an_inner_node_is_no_leaf() -> None:
    """Without different first bytes two leaves could be passed off as one."""
    left, right = leaves(2)
    header, payload = left + right, b""

    root, _ = merkle.tree([left, right])

    assert merkle.leaf_hash(b"", header, payload) != root


def test_a_leaf_binds_where_the_header_ends() -> None:
    blind = bytes(32)

    assert merkle.leaf_hash(blind, b"ab", b"c") != merkle.leaf_hash(blind, b"a", b"bc")


def test_a_leaf_says_nothing_without_its_blind() -> None:
    header, payload = b"header", b"yes"

    assert merkle.leaf_hash(bytes(32), header, payload) != merkle.leaf_hash(
        fixed_bytes("blind"), header, payload
    )


def test_no_leaves_no_tree() -> None:
    with pytest.raises(ValueError, match="leaf"):
        merkle.tree([])
