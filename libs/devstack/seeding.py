"""Copies a service's first credentials from where they are delivered to where they live.

A secret-id replaces itself every few minutes, in a directory that its service can write; what a
platform delivers (a Kubernetes Secret) is read-only and only right for the first start. So it is
copied once, and again only after somebody has delivered something else.
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from svc_core.adapters.files import make_private_directory, write_private

PLACES: Final[Mapping[str, str]] = {
    "role_id": "role_id",
    "secret_id": "secret_id",
    "identity.seed": "state/identity.seed",
}
"""Where each delivered file goes, below the service's directory."""
_MARK: Final = ".delivered"


def seed(source: Path, target: Path) -> bool:
    """Copy what ``source`` delivers into ``target``, unless it was copied before.

    Raises:
        FileNotFoundError: no credentials are delivered.
    """
    delivered = {name: (source / name).read_bytes() for name in PLACES if (source / name).is_file()}
    if "secret_id" not in delivered:
        raise FileNotFoundError(f"{source} holds no secret_id")
    mark = target / _MARK
    digest = _digest(delivered)
    if mark.exists() and mark.read_bytes() == digest:
        return False
    for name, content in delivered.items():
        place = target / PLACES[name]
        if place.parent != target:
            make_private_directory(place.parent)
        write_private(place, content)
    write_private(mark, digest)
    return True


def main() -> int:
    """Copy as the arguments say and return the exit code: 0, or 2 when nothing is delivered."""
    parser = argparse.ArgumentParser(prog="devstack.seeding", description=seed.__doc__)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--to", dest="target", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        copied = seed(arguments.source, arguments.target)
    except OSError as err:
        sys.stderr.write(f"seeding: {err}; deliver the credentials and start again\n")
        return 2
    sys.stdout.write("credentials copied\n" if copied else "credentials are there already\n")
    return 0


def _digest(files: Mapping[str, bytes]) -> bytes:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}:{len(files[name])}:".encode() + files[name])
    return total.hexdigest().encode()


if __name__ == "__main__":
    sys.exit(main())
