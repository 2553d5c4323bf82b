"""Reads the published vectors that come with the package ``cryptography-vectors``.

Nothing is copied: the files stay where the package installs them.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import cryptography_vectors

T = TypeVar("T")
Case = dict[str, str]


def read_cases(path: str) -> Iterator[Case]:
    """Yield the cases of a response file, with the ``[Name = value]`` settings that hold there.

    A bare word (``FAIL``) becomes an empty value of that name. Values are as they are written:
    numbers or hex.
    """
    settings: Case = {}
    case: Case = {}
    with cryptography_vectors.open_vector_file(path, "r") as lines:
        for line in lines:
            text = line.partition("#")[0].strip()
            name, _, value = (part.strip() for part in text.strip("[]").partition("="))
            if text.startswith("["):
                settings[name] = value
            elif name.lower() == "count":
                if case:
                    yield case
                case = settings | {name: value}
            elif name and case:
                case[name] = value
    if case:
        yield case


def evenly(cases: Sequence[T], at_most: int) -> list[T]:
    """Return at most ``at_most`` of ``cases``, from all parts of the list."""
    step = max(1, -(-len(cases) // at_most))
    return list(cases[::step])


def octets(case: Case, name: str) -> bytes:
    """Return the bytes of a field written in hex; a missing one is empty."""
    return bytes.fromhex(case.get(name, ""))
