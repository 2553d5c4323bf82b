"""Start Metadata: arguments, settings, event loop, exit code; nothing else."""

import sys

from services.metadata.app import serve
from services.metadata.config import MetadataSettings
from svc_core.domain.identity import METADATA
from svc_core.kit import run


def main() -> int:
    """Run the service and return its exit code."""
    return run(METADATA, MetadataSettings, serve)


if __name__ == "__main__":
    sys.exit(main())
