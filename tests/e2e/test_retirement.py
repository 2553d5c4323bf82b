"""The end of an issuer is the end of its leaves, whatever their dates say."""

from datetime import UTC, datetime

import pytest

from svc_core.domain.identity import GATEKEEPER
from tests.e2e.outsider import ACCEPTED, UNKNOWN_CA, as_service
from tests.e2e.stolen import Theft, trusted_issuers
from tests.e2e.waiting import until


@pytest.mark.timeout(120)
async def test_a_leaf_of_a_retired_issuer_is_refused_before_it_expires(theft: Theft) -> None:
    layout = theft.stack.layout
    await until(
        lambda: theft.issuer.name not in [i.name for i in trusted_issuers(layout.trust_file)],
        within_s=70,
        what=f"the retirement of {theft.issuer.name}",
    )

    async def all_refuse() -> bool:
        return ACCEPTED not in await theft.refusals()

    await until(all_refuse, within_s=5, what="every server refusing the leaf")
    answers = await theft.refusals()
    refused_at = datetime.now(UTC)

    assert answers == [UNKNOWN_CA] * 3
    assert refused_at < theft.expires_at
    await until(
        lambda: theft.is_cut,
        within_s=10,
        what="the end of the connections that were made with it",
    )
    async with as_service(layout, GATEKEEPER) as gatekeeper:
        assert (await gatekeeper.read_ca_message()).data


async def test_a_leaf_of_an_issuer_that_was_left_behind_is_good_while_it_is_trusted(
    late_theft: Theft,
) -> None:
    assert late_theft.issuer.name in [
        issuer.name for issuer in trusted_issuers(late_theft.stack.layout.trust_file)
    ]
    assert await late_theft.refusals() == [ACCEPTED] * 3
    assert not any(connection.client.is_closed for connection in late_theft.connections)
