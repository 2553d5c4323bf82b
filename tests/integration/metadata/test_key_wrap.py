"""Keys at rest on the real transit engine: any size, and what was wrapped there as a whole."""

from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from services.metadata.adapters.key_wrap import TransitKeyWrap
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.domain.identity import GATEKEEPER, METADATA
from svc_core.errors import AccessDeniedError, VerificationError
from tests.builders import fixed_bytes
from tests.integration.bare_stack import RunningOpenBao

LARGE = fixed_bytes("keys of ten thousand topics", 2 << 20)


@pytest.fixture
async def session(openbao: RunningOpenBao) -> AsyncIterator[OpenBaoSession]:
    async with open_openbao(openbao.settings(METADATA), METADATA) as found:
        yield found


@pytest.mark.parametrize("plaintext", [b"", b"small", LARGE], ids=["nothing", "small", "large"])
async def test_what_is_wrapped_comes_back(session: OpenBaoSession, plaintext: bytes) -> None:
    wrapped = await TransitKeyWrap(session).wrap(plaintext)

    assert await TransitKeyWrap(session).unwrap(wrapped) == plaintext
    assert wrapped.split(" ")[1].startswith("vault:v1:")
    assert len(wrapped) < len(plaintext) * 4 / 3 + 400


async def test_what_openbao_wrapped_as_a_whole_is_unwrapped_still(session: OpenBaoSession) -> None:
    body = {"plaintext": b64encode(b"former").decode()}
    answer = await session.call(lambda c: c.write_data("transit/encrypt/bundle-master", data=body))

    assert await TransitKeyWrap(session).unwrap(answer["data"]["ciphertext"]) == b"former"


async def test_the_key_of_one_opens_no_other(session: OpenBaoSession) -> None:
    wrap = TransitKeyWrap(session)
    first, other = await wrap.wrap(b"first"), await wrap.wrap(b"other")

    with pytest.raises(VerificationError):
        await wrap.unwrap(" ".join([*first.split(" ")[:2], other.split(" ")[2]]))


async def test_nobody_else_unwraps_it(openbao: RunningOpenBao, session: OpenBaoSession) -> None:
    wrapped = await TransitKeyWrap(session).wrap(b"secret")

    async with open_openbao(openbao.settings(GATEKEEPER), GATEKEEPER) as other:
        with pytest.raises(AccessDeniedError):
            await TransitKeyWrap(other).unwrap(wrapped)
