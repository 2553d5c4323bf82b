"""The collector pauses where many objects are made, and goes on whatever happens there."""

import gc
from collections.abc import Iterator

import pytest

from svc_core.runtime.interpreter import collection_paused


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_nothing_is_collected_meanwhile_and_afterwards_again() -> None:
    with collection_paused():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_an_error_ends_the_pause() -> None:
    with pytest.raises(KeyError), collection_paused():
        raise KeyError

    assert gc.isenabled()


def test_a_pause_within_a_pause_ends_with_the_outer_one() -> None:
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()


def test_who_never_collects_does_not_begin_with_it() -> None:
    gc.disable()

    with collection_paused():
        pass

    assert not gc.isenabled()
