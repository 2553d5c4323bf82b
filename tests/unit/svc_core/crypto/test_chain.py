"""In mode ``chain`` a trusted issuer is one that a trusted root signed, too."""

from datetime import timedelta

import pytest

from svc_core.crypto.certificates import check_chain
from svc_core.errors import TlsMaterialError
from tests.builders import NOW
from tests.fakes.memory_certificate_issuer import (
    Intermediate,
    make_intermediate,
    make_issuer_under,
    make_root,
)

LIFE = timedelta(hours=1)
FORMER = make_root("root", now=NOW, life=LIFE)
NEXT = make_root("root-2", now=NOW, life=2 * LIFE)
OLD, NEW = (
    make_issuer_under(root, f"ca-{number}-1", now=NOW, life=LIFE)
    for number, root in enumerate((FORMER, NEXT), 1)
)
UNDER_NO_ROOT = make_intermediate("ca-3-1", now=NOW, life=LIFE)


def pems(*authorities: Intermediate) -> str:
    return "".join(authority.pem for authority in authorities)


@pytest.mark.parametrize(
    ("trusted", "roots"),
    [
        pytest.param([OLD], [FORMER], id="one root, one issuer"),
        pytest.param([NEW, OLD], [NEXT, FORMER], id="both roots overlap"),
        pytest.param([NEW], [NEXT, FORMER], id="the former root has no issuer left"),
        pytest.param([UNDER_NO_ROOT], [], id="nothing is asked for in mode intermediates"),
    ],
)
def test_issuers_of_trusted_roots_pass(
    trusted: list[Intermediate], roots: list[Intermediate]
) -> None:
    check_chain(pems(*trusted), pems(*roots), now=NOW)


@pytest.mark.parametrize(
    ("trusted", "roots", "reason"),
    [
        pytest.param([NEW, OLD], [FORMER], "CN=ca-2-1", id="the next root is not trusted yet"),
        pytest.param([NEW, OLD], [NEXT], "CN=ca-1-1", id="the former root is gone too early"),
        pytest.param([UNDER_NO_ROOT], [FORMER], "CN=ca-3-1", id="signed by itself"),
        pytest.param([OLD], [OLD], "no root", id="an issuer in the place of a root"),
    ],
)
def test_an_issuer_of_no_trusted_root_is_refused_by_name(
    trusted: list[Intermediate], roots: list[Intermediate], reason: str
) -> None:
    with pytest.raises(TlsMaterialError, match=reason):
        check_chain(pems(*trusted), pems(*roots), now=NOW)


@pytest.mark.parametrize("moment", [LIFE, -timedelta(hours=1)], ids=["over", "not begun"])
def test_a_root_counts_only_in_its_life(moment: timedelta) -> None:
    lasting = make_issuer_under(FORMER, "ca-4-1", now=NOW, life=3 * LIFE)

    with pytest.raises(TlsMaterialError, match="no trusted root"):
        check_chain(lasting.pem, FORMER.pem, now=NOW + moment)


def test_an_issuer_whose_own_life_is_over_needs_no_root_any_more() -> None:
    later = NOW + 2 * LIFE - timedelta(seconds=1)
    fresh = make_issuer_under(NEXT, "ca-5-1", now=later, life=LIFE)

    check_chain(pems(fresh, OLD), NEXT.pem, now=later)


@pytest.mark.parametrize("damaged", ["trust", "roots"])
def test_what_is_cut_off_is_refused(damaged: str) -> None:
    files = {"trust": OLD.pem, "roots": FORMER.pem}
    files[damaged] = files[damaged][:-40]

    with pytest.raises(TlsMaterialError):
        check_chain(files["trust"], files["roots"], now=NOW)
