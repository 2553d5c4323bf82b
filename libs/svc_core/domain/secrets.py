"""A type for secret bytes: usable where bytes are needed, silent everywhere else."""

from typing import Final

_MASK: Final = "<{} bytes>"


class SecretBytes:
    """Key material that does not print itself; `reveal` gives the bytes, as late as can be."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes themselves; never log or format the result."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return _MASK.format(len(self._value))

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        raise TypeError("compare secrets with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("secrets are not pickled")
