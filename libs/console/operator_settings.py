"""How the operator's commands reach a deployment: of a local stack, or from a settings file."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import field_validator

from console.stack_commands import NoStackError
from devstack.endpoints import read_endpoints
from devstack.layout import OPERATOR, Layout
from svc_core.config import NatsSettings, OpenBaoSettings, Section, TrustSettings
from svc_core.domain.identity import Deployment
from svc_core.domain.profiles import PROFILES
from svc_core.settings_loader import load_settings


@dataclass(frozen=True, slots=True)
class Target:
    """Which deployment is meant."""

    root: Path
    """Directory of a local stack."""
    config: Path | None = None
    """Settings of another deployment; then ``root`` does not matter."""


class OperatorSettings(Section):
    """What the operator's commands need to know of a deployment."""

    profile: str = "testing"
    """Rotation profile of the deployment: ``demo``, ``testing`` or ``production``."""
    trust_domain: str = "securetransport.local"
    """Trust domain of every SPIFFE id."""
    namespace: str = "default"
    """Namespace of every SPIFFE id."""
    openbao: OpenBaoSettings
    nats: NatsSettings
    trust: TrustSettings

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(sorted(PROFILES))}")
        return value

    @property
    def deployment(self) -> Deployment:
        """The start of every SPIFFE id."""
        return Deployment(self.trust_domain, self.namespace)


def read_operator_settings(target: Target) -> OperatorSettings:
    """Return the settings of ``target``.

    Raises:
        ConfigError: the settings file is wrong.
        NoStackError: no file was named, and there is no local stack.
    """
    if target.config is not None:
        return load_settings(OperatorSettings, config_file=target.config, environ=os.environ)
    layout = Layout.at(target.root)
    endpoints = read_endpoints(layout)
    if endpoints is None:
        raise NoStackError(layout.root)
    deployment = Deployment()
    return OperatorSettings(
        profile=endpoints.profile,
        trust_domain=deployment.trust_domain,
        namespace=deployment.namespace,
        openbao=OpenBaoSettings(
            url=endpoints.openbao.url,
            ca_file=layout.openbao_ca,
            role_id_file=layout.role_id(OPERATOR),
            secret_id_file=layout.secret_id(OPERATOR),
        ),
        nats=NatsSettings(
            servers=tuple(node.url for node in endpoints.nats),
            publish_deadline=timedelta(seconds=10),
        ),
        trust=TrustSettings(
            operator_key_file=layout.operator_key,
            metadata_identities_file=layout.metadata_identities,
        ),
    )
