"""The picture of an issuer's life is drawn from the table, and says all of it."""

from scripts import gen_states
from services.metadata.domain.issuers import LEGAL, IssuerState


def test_the_picture_is_current() -> None:
    assert gen_states.PAGE.read_text() == gen_states.render(), "run `just generate`"


def test_the_picture_has_every_state_and_every_move() -> None:
    picture = gen_states.render()

    assert picture.count('font-weight="bold"') == len(IssuerState)
    assert picture.count('marker-end="url(#tip)"') == len(LEGAL)
    assert all(f"{m.before.name} to {m.after.name}" in picture for m in LEGAL)
