"""Settings of AuthController."""

from pathlib import Path

from svc_core.config import ServiceSettings


class AuthControllerSettings(ServiceSettings):
    """What AuthController needs beside what every service needs."""

    journal_dir: Path
    """Directory of the journal; mode 0700."""
