"""The desired state names a trust mode only when it is not the one everybody knew first."""

import pytest

from svc_core.domain.desired import TrustMode
from svc_core.errors import MalformedMessageError
from svc_core.wire import desired
from tests.builders import make_desired


def test_the_mode_travels_with_the_state() -> None:
    state = make_desired(trust_mode=TrustMode.CHAIN)

    assert desired.decode(desired.encode(state)) == state


def test_the_usual_mode_is_written_as_before_there_was_another() -> None:
    body = desired.encode(make_desired())

    assert b"trust_mode" not in body
    assert desired.decode(body).trust_mode is TrustMode.INTERMEDIATES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'"chain"', b'"anything"', id="a mode nobody knows"),
        pytest.param(b'"root_pem":"root\\n"', b'"root_pem":""', id="a chain that ends nowhere"),
    ],
)
def test_a_mode_that_cannot_be_followed_is_refused(old: bytes, new: bytes) -> None:
    body = desired.encode(make_desired(trust_mode=TrustMode.CHAIN))
    assert old in body

    with pytest.raises(MalformedMessageError):
        desired.decode(body.replace(old, new))
