"""Who waits for an answer gets it, or hears why it cannot come."""

import pytest

from benchmarks.certificates import BenchAuthority
from benchmarks.exchanges import Lines, Waiting
from benchmarks.message_keys import make_talking_rings
from benchmarks.spread import Spread
from benchmarks.targets import transport_target
from svc_core.crypto.certificates import check_material
from svc_core.crypto.signing import Algorithm
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.errors import MalformedMessageError
from tests.builders import DEMO, NOW, seeded_entropy


async def test_an_answer_lets_only_the_one_go_on_who_asked() -> None:
    waiting = Waiting()
    first, second = waiting.expect("a"), waiting.expect("b")

    waiting.answered("b")
    waiting.answered("b")
    waiting.answered("never asked")

    assert (first.done(), second.done()) == (False, True)


async def test_a_failure_reaches_those_who_wait_and_those_who_come() -> None:
    waiting = Waiting()
    early = waiting.expect("a")

    waiting.fail(MalformedMessageError("broken"))

    for answer in (early, waiting.expect("b")):
        with pytest.raises(MalformedMessageError):
            await answer


def test_the_two_directions_of_two_exchanges_share_nothing() -> None:
    lines = [Lines.called("one"), Lines.called("two")]

    names = {line.stream for both in lines for line in (both.requests, both.answers)}

    assert len(names) == 4


def test_talking_rings_let_each_side_open_what_the_other_seals() -> None:
    rings = make_talking_rings(DEMO, Algorithm.ML_DSA_44, now=NOW, entropy=seeded_entropy())

    for ring, produces, consumes in (
        (rings.producer, AUTH_REQUEST, RESPONDER),
        (rings.consumer, RESPONDER, AUTH_REQUEST),
    ):
        permitted = {p.topic: (p.produce, p.consume) for p in ring.permissions.values()}
        assert permitted == {produces: (True, False), consumes: (False, True)}


@pytest.mark.parametrize("kind", ["server", "client", "peer"])
def test_what_the_authority_issues_passes_the_products_own_check(kind: str) -> None:
    authority = BenchAuthority.make("bench", now=NOW)
    material = {
        "server": lambda: authority.server(now=NOW, entropy=seeded_entropy()),
        "client": lambda: authority.client("gatekeeper", now=NOW, entropy=seeded_entropy()),
        "peer": lambda: authority.peer(now=NOW, entropy=seeded_entropy()),
    }[kind]()

    check_material(
        material.chain_pem,
        material.key_pem,
        material.trust_pem,
        now=NOW,
        server=kind != "client",
    )


@pytest.mark.parametrize(("ratio", "is_met"), [(0.85, True), (0.84, False)])
def test_the_transport_may_cost_as_much_as_was_said(ratio: float, is_met: bool) -> None:
    assert transport_target("x", Spread.of([ratio])).is_met is is_met
