"""The Gatekeeper process."""

import sys

from services.gatekeeper.app import serve
from services.gatekeeper.config import GatekeeperSettings
from svc_core.domain.identity import GATEKEEPER
from svc_core.kit import run


def main() -> int:
    """Run Gatekeeper until it is stopped and return the exit code."""
    return run(GATEKEEPER, GatekeeperSettings, serve)


if __name__ == "__main__":
    sys.exit(main())
