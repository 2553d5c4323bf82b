"""What is removed is gone from OpenBao: the issuers of one name, and the keys they had."""

from itertools import count
from typing import Final

from services.metadata.adapters.pki_engine import PkiEngine
from tests.integration.bare_stack import RunningOpenBao
from tests.integration.metadata.test_issuer_mint import MOUNTS, ROOT, listed, mint, minting

_epochs: Final = count(9501)


async def test_with_an_issuer_its_keys_are_deleted_and_those_of_others_stay(
    openbao: RunningOpenBao,
) -> None:
    former, present = (f"ca-{next(_epochs)}-1" for _ in range(2))
    async with minting(openbao) as (session, api):
        minted = mint(PkiEngine(session))
        await minted.mint(former, ROOT)
        kept = await minted.mint(present, ROOT)

        await minted.remove(former)
        await minted.remove(former)

        for mount in MOUNTS:
            issuers = {
                str(f["issuer_name"]) for f in (await listed(api, f"{mount}/issuers")).values()
            }
            keys = {str(f["key_name"]) for f in (await listed(api, f"{mount}/keys")).values()}
            assert former not in issuers | keys
            assert present in issuers & keys
        assert await minted.mint(present, ROOT) == kept
        await minted.remove(present)
