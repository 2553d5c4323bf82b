"""How wire vectors lie on disk: JSON, one file each, bytes as ``{"hex": …}``."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "wire"


@dataclass(frozen=True)
class Vector:
    """One encoding, what is in it, and for what is signed or sealed how to open it."""

    name: str
    codec: str
    """Name in `tests.vectors.wire_codecs`, or of a record of the prototype."""
    raw: bytes
    fields: dict[str, Any] = field(default_factory=dict)
    """As Avro has them; empty for what is no Avro record."""
    opening: dict[str, Any] = field(default_factory=dict)

    @property
    def of_prototype(self) -> bool:
        """Whether it is a record of the prototype."""
        return self.name.startswith("prototype_")


def save(vector: Vector) -> None:
    """Write ``vector`` to its file."""
    document = {
        "codec": vector.codec,
        "fields": _to_json(vector.fields),
        "opening": _to_json(vector.opening),
        "hex": vector.raw.hex(),
    }
    text = json.dumps(document, indent=1, ensure_ascii=True)
    (FOLDER / f"{vector.name}.json").write_text(text + "\n")


def load(name: str) -> Vector:
    """Read the vector called ``name``."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return Vector(
        name,
        document["codec"],
        bytes.fromhex(document["hex"]),
        _from_json(document["fields"]),
        _from_json(document["opening"]),
    )


def names() -> list[str]:
    """Return the names of all vectors, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: _from_json(item) for key, item in value.items()}
    return value
