"""Metadata's own settings."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from services.metadata.domain.ca_rotation import SilencePolicy
from svc_core.config import Duration, KubernetesApiSettings, Section, ServiceSettings
from svc_core.domain.desired import TrustMode
from svc_core.domain.subjects import LEAST_STREAM_BYTES, MOST_STREAM_BYTES


class AclConfigMap(Section):
    """The ACL manifest in Kubernetes."""

    namespace: str
    """Namespace of the ConfigMap."""
    name: str = "services-acl"
    """The ConfigMap."""
    key: str = "acl-manifest.yaml"
    """Key under which the manifest is."""
    api: KubernetesApiSettings = KubernetesApiSettings()
    """How the API is reached; a pod needs nothing here."""


class MetadataSettings(ServiceSettings):
    """The authority."""

    acl_file: Path | None = None
    """The ACL manifest as a file; followed."""
    acl_config_map: AclConfigMap | None = None
    """The ACL manifest as a ConfigMap; followed. Exactly one of the two is set."""
    when_silent: SilencePolicy = SilencePolicy.QUORUM
    """What happens when an instance has not acknowledged the next issuer by the last moment that
    leaves time for it: `quorum` goes on with every server and all who answered, `wait` does not.
    Servers are waited for in any case."""
    trust_mode: TrustMode = TrustMode.INTERMEDIATES
    """What NATS servers trust and issuers must show: `intermediates` trusts the intermediates of
    the desired state and nothing else, `chain` also asks that a trusted root signed them and lets
    the servers trust that root. Everybody follows what the desired state says; see ADR-0021."""
    replicas: int = Field(default=3, ge=1, le=5)
    """Replicas of every stream."""
    stream_bytes: int = Field(
        default=MOST_STREAM_BYTES, ge=LEAST_STREAM_BYTES, le=MOST_STREAM_BYTES
    )
    """Bytes that a stream of messages holds, on every replica; when full, the oldest go. It has to
    take what arrives while a consumer is away: about 4 KB a request or response."""
    identity_max_age: Duration | None = None
    """Cannot be set here: Metadata's identities are replaced with `securetransport identities`."""

    @model_validator(mode="after")
    def _one_manifest(self) -> Self:
        if (self.acl_file is None) == (self.acl_config_map is None):
            raise ValueError("set either acl_file or acl_config_map")
        return self

    @field_validator("identity_max_age")
    @classmethod
    def _is_listed(cls, value: timedelta | None) -> None:
        if value:
            raise ValueError("replace Metadata's identities with `securetransport identities`")
