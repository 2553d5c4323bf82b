"""Metadata's own settings."""

from pathlib import Path

from pydantic import Field

from svc_core.config import ServiceSettings


class MetadataSettings(ServiceSettings):
    """The authority."""

    acl_file: Path
    """The ACL manifest."""
    replicas: int = Field(default=3, ge=1, le=5)
    """Replicas of every stream."""
