"""Argon2id hashes as text."""

import pytest

from svc_core.crypto.passwords import demo_password, hash_password, verify_password
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.builders import seeded_entropy

HASH = hash_password(demo_password("user7"), entropy=seeded_entropy())


def test_a_hash_verifies_its_own_password() -> None:
    verify_password(HASH, SecretBytes(b"secretuser7"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(hash_password(demo_password("x"), entropy=seeded_entropy()), id="another"),
        pytest.param("", id="empty"),
        pytest.param("AAAA", id="one part"),
        pytest.param("AAAA:AAAA:AAAA", id="three parts"),
        pytest.param("AAAA:AAAA", id="too short"),
        pytest.param("ä:ä", id="not ASCII"),
    ],
)
def test_no_other_text_does(text: str) -> None:
    with pytest.raises(VerificationError):
        verify_password(text, demo_password("user7"))


def test_salts_differ() -> None:
    entropy = seeded_entropy()

    assert hash_password(demo_password("a"), entropy=entropy) != hash_password(
        demo_password("a"), entropy=entropy
    )
