"""What an answer of the Kubernetes API means, and where that API is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.adapters.kube import error_of, open_kube
from svc_core.adapters.kube_exec import ExecOutcome, read_status
from svc_core.config import KubernetesApiSettings
from svc_core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ConfigError,
    KubernetesError,
    NotFoundError,
    RequestRefusedError,
    StaleWriteError,
    SvcError,
)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (0, "", KubernetesError),
        (400, "bad", RequestRefusedError),
        (401, "Unauthorized", AccessDeniedError),
        (403, "forbidden", AccessDeniedError),
        (404, "not found", NotFoundError),
        (409, 'secrets "s" already exists', AlreadyExistsError),
        (409, "the object has been modified", StaleWriteError),
        (422, "invalid", RequestRefusedError),
        (429, "slow down", KubernetesError),
        (500, "internal", KubernetesError),
        (503, "unavailable", KubernetesError),
    ],
)
def test_every_answer_has_its_error(status: int, message: str, kind: type[SvcError]) -> None:
    assert type(error_of(status, message)) is kind


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (b'{"status":"Success"}', ""),
        (b'{"status":"Failure","message":"exit status 1","reason":"NonZeroExitCode"}', "exit"),
        (b'{"status":"Failure","message":"executable file not found"}', "not found"),
        (b'{"status":"Failure"}', "no reason given"),
        (b"not json", "cannot be read"),
        (b"[]", "cannot be read"),
    ],
)
def test_a_command_ended_well_only_if_its_status_says_so(raw: bytes, failure: str) -> None:
    outcome = read_status(raw)

    assert bool(outcome.failure) == bool(failure)
    assert failure in outcome.failure


@given(st.binary(max_size=200))
def test_any_status_gives_an_outcome(raw: bytes) -> None:
    assert isinstance(read_status(raw), ExecOutcome)


async def test_outside_of_a_pod_the_api_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    ca_file = tmp_path / "ca.crt"

    with pytest.raises(ConfigError, match="no CA file"):
        async with open_kube(KubernetesApiSettings(ca_file=ca_file)):
            pass
    ca_file.touch()
    with pytest.raises(ConfigError, match="no pod"):
        async with open_kube(KubernetesApiSettings(ca_file=ca_file)):
            pass
