"""A leaf of an issuer that was left behind neither keeps that issuer nor outlives it."""

from typing import Final

import pytest

from tests.e2e.stolen import Theft, trusted_issuers
from tests.e2e.waiting import until

RETIRES_WITHIN_S: Final = 90.0


@pytest.mark.timeout(120)
async def test_a_connection_with_an_old_leaf_is_cut_and_its_issuer_retires_all_the_same(
    late_theft: Theft,
) -> None:
    trust = late_theft.stack.layout.trust_file

    await until(
        lambda: late_theft.is_cut,
        within_s=RETIRES_WITHIN_S,
        what=f"the end of the connections with a leaf of {late_theft.issuer.name}",
    )
    await until(
        lambda: late_theft.issuer.name not in [issuer.name for issuer in trusted_issuers(trust)],
        within_s=RETIRES_WITHIN_S / 2,
        what=f"the retirement of {late_theft.issuer.name}",
    )
