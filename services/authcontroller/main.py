"""The AuthController process."""

import sys

from services.authcontroller.app import serve
from services.authcontroller.config import AuthControllerSettings
from svc_core.domain.identity import AUTHCONTROLLER
from svc_core.kit import run


def main() -> int:
    """Run AuthController until it is stopped and return the exit code."""
    return run(AUTHCONTROLLER, AuthControllerSettings, serve)


if __name__ == "__main__":
    sys.exit(main())
