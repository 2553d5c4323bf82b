"""Nothing is believed but what a key known beforehand has signed, for this very use."""

from dataclasses import replace
from typing import Any

import pytest

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.errors import IdentityError, VerificationError
from svc_core.flows.statements import Author, Statements
from svc_core.wire.identities import PublicIdentity
from tests.authority import make_author, without_threads

CONTEXT = contexts.DESIRED_STATE


@pytest.fixture
async def author() -> Author:
    without_threads()
    return make_author("metadata-1")


@pytest.fixture
def statements(author: Author) -> Statements:
    other = make_author("metadata-2")
    return Statements(PublicIdentity(a.id, Algorithm.ML_DSA_87, a.public) for a in (author, other))


async def test_a_signed_body_comes_back(author: Author, statements: Statements) -> None:
    document = await author.sign(b"body", context=CONTEXT)

    assert await statements.verified(document, context=CONTEXT) == b"body"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": b"bodY"}, id="body"),
        pytest.param({"signature": b""}, id="no signature"),
        pytest.param({"signer": "metadata-2"}, id="another pinned signer"),
    ],
)
async def test_a_changed_document_is_refused(
    author: Author, statements: Statements, changes: dict[str, Any]
) -> None:
    document = await author.sign(b"body", context=CONTEXT)

    with pytest.raises(VerificationError):
        await statements.verified(replace(document, **changes), context=CONTEXT)


async def test_a_signature_for_one_use_is_none_for_another(
    author: Author, statements: Statements
) -> None:
    document = await author.sign(b"body", context=contexts.INSTANCE_STATUS)

    with pytest.raises(VerificationError):
        await statements.verified(document, context=CONTEXT)


async def test_an_unknown_signer_is_refused_by_name(statements: Statements) -> None:
    document = await make_author("mallory").sign(b"body", context=CONTEXT)

    with pytest.raises(IdentityError, match="mallory"):
        await statements.verified(document, context=CONTEXT)
