"""Which response answers which request."""

import pytest

from svc_core.domain.correlation import answered_request, generation_counter, response_id
from svc_core.errors import MalformedMessageError


def test_a_response_names_its_request() -> None:
    assert answered_request(response_id("run-boot-7")) == "run-boot-7"


def test_any_other_id_is_no_response() -> None:
    with pytest.raises(MalformedMessageError):
        answered_request("run-boot-7")


@pytest.mark.parametrize(
    ("request_id", "counter"), [("run-boot-7", 7), ("run-boot-", None), ("x", None), ("r-²", None)]
)
def test_the_counter_is_at_the_end_of_the_id(request_id: str, counter: int | None) -> None:
    assert generation_counter(request_id) == counter
