"""Settings of Gatekeeper."""

from pathlib import Path

from pydantic import Field

from svc_core.config import ServiceSettings


class GatekeeperSettings(ServiceSettings):
    """What Gatekeeper needs beside what every service needs."""

    journal_dir: Path
    """Directory of the journal; mode 0700."""
    load_file: Path
    """JSON file with the load order; followed while running, may be absent."""
    users: int = Field(default=10, ge=1, le=1000)
    """Made-up users who ask in turn; each costs 64 MiB and 0.1 s once, at start."""
    load_rate: float = Field(default=0, ge=0, le=10_000)
    """Requests per second while there is no load order; 0: idle."""
