import pickle
from collections.abc import Callable

import pytest

from svc_core.domain.secrets import SecretBytes

SECRET = SecretBytes(b"hunter2!")


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param(lambda s: f"{s}", id="f-string"),
        pytest.param(lambda s: f"{s:>40}", id="format with a width"),
        pytest.param(lambda s: f"{[s]}", id="inside a list"),
        pytest.param(lambda s: "%s" % s, id="percent"),  # noqa: UP031 (one of the ways to leak)
    ],
)
def test_no_text_of_a_secret_holds_it(show: Callable[[SecretBytes], str]) -> None:
    shown = show(SECRET)

    assert "hunter2" not in shown
    assert "<8 bytes>" in shown


def test_the_bytes_are_there_when_asked_for() -> None:
    assert SECRET.reveal() == b"hunter2!"
    assert len(SECRET) == 8


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        pytest.param(lambda s: s == s, "compare_digest", id="compared"),  # noqa: PLR0124
        pytest.param(lambda s: {s: 1}, "unhashable", id="hashed"),
        pytest.param(pickle.dumps, "not pickled", id="pickled"),
    ],
)
def test_what_could_leak_a_secret_is_refused(
    misuse: Callable[[SecretBytes], object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        misuse(SECRET)
