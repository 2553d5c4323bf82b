"""Copies a service's first credentials from where they are delivered to where they live.

A secret-id replaces itself every few minutes, in a directory that its service can write; what a
platform delivers (a Kubernetes Secret) is read-only and only right for the first start. So each
file is copied once, and again only after somebody has delivered another one in its place: a new
identity comes without the secret-id being taken back.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from svc_core.adapters.files import make_private_directory, write_private

PLACES: Final[Mapping[str, str]] = {
    "role_id": "role_id",
    "secret_id": "secret_id",
    "instance": "state/instance",
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
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in delivered.items()}
    before = _delivered_before(mark, target, digests)
    changed = [name for name in delivered if digests[name] != before.get(name)]
    for name in changed:
        place = target / PLACES[name]
        if place.parent != target:
            make_private_directory(place.parent)
        write_private(place, delivered[name])
    if changed:
        write_private(mark, json.dumps(digests).encode())
    return bool(changed)


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


def _delivered_before(mark: Path, target: Path, digests: Mapping[str, str]) -> Mapping[str, str]:
    """Return the digests of what was copied last, by name."""
    if not mark.exists():
        return {}
    try:
        said = json.loads(mark.read_bytes())
    except ValueError:
        said = None
    if isinstance(said, dict):
        return said
    # A mark of a release that kept one digest of everything: what is in its place was copied.
    return {name: text for name, text in digests.items() if (target / PLACES[name]).exists()}


if __name__ == "__main__":
    sys.exit(main())
