"""Prints a CycloneDX bill of materials of the Python environment it runs in.

Reproducible: the same packages give the same bytes, so it says nothing of when or where.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Final

_SPEC_VERSION: Final = "1.6"


def bill_of_materials(found: list[Distribution]) -> dict[str, object]:
    """Return the document for ``found``, one component per distribution, sorted by name."""
    components = [_component(distribution) for distribution in found]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC_VERSION,
        "version": 1,
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }


def main() -> int:
    """Print the document and return the exit code."""
    document = bill_of_materials(list(distributions()))
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _component(distribution: Distribution) -> dict[str, object]:
    metadata = distribution.metadata
    name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
    reference = f"pkg:pypi/{name}@{distribution.version}"
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": distribution.version,
        "purl": reference,
    }
    if "License-Expression" in metadata:
        component["licenses"] = [{"expression": metadata["License-Expression"]}]
    return component


if __name__ == "__main__":
    sys.exit(main())
