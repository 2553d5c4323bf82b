"""Start Watcher: arguments, settings, event loop, exit code; nothing else."""

import sys

from services.watcher.app import serve
from services.watcher.config import WatcherSettings
from svc_core.domain.identity import WATCHER
from svc_core.kit import run


def main() -> int:
    """Run the service and return its exit code."""
    return run(WATCHER, WatcherSettings, serve)


if __name__ == "__main__":
    sys.exit(main())
