from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.identity import Deployment, instance_name, service_name, subject


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        pytest.param(service_name, "metadata", id="service"),
        pytest.param(service_name, "svc-2", id="service with digits and dashes"),
        pytest.param(service_name, "a" * 63, id="longest service"),
        pytest.param(instance_name, "metadata-1", id="instance"),
        pytest.param(instance_name, "0a", id="instance may start with a digit"),
        pytest.param(subject, "auth.auth-request", id="subject"),
        pytest.param(subject, "A_b-1", id="subject of one token"),
        pytest.param(subject, ".".join(["a" * 127, "b" * 128]), id="longest subject"),
    ],
)
def test_legal_names_are_themselves(parse: Callable[[str], str], text: str) -> None:
    assert parse(text) == text


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        pytest.param(service_name, "", id="service: empty"),
        pytest.param(service_name, "Metadata", id="service: capital"),
        pytest.param(service_name, "2svc", id="service: starts with a digit"),
        pytest.param(service_name, "a" * 64, id="service: too long"),
        pytest.param(service_name, "a/b", id="service: would be a path"),
        pytest.param(service_name, "metadata\n", id="service: line break"),
        pytest.param(instance_name, "a.b", id="instance: two tokens"),
        pytest.param(instance_name, "-a", id="instance: starts with a dash"),
        pytest.param(instance_name, "..", id="instance: parent directory"),
        pytest.param(subject, "", id="subject: empty"),
        pytest.param(subject, "a..b", id="subject: empty token"),
        pytest.param(subject, "a.*", id="subject: wildcard"),
        pytest.param(subject, ">", id="subject: full wildcard"),
        pytest.param(subject, "a b", id="subject: space"),
        pytest.param(subject, "a.b\n", id="subject: line break"),
        pytest.param(subject, "$SYS.a", id="subject: system space"),
        pytest.param(subject, ".".join(["a" * 128, "b" * 128]), id="subject: too long"),
    ],
)
def test_illegal_names_are_refused(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse(text)


@given(st.text(max_size=300))
def test_a_literal_subject_never_holds_a_wildcard_or_space(text: str) -> None:
    try:
        literal = subject(text)
    except ValueError:
        return
    assert not set(literal) & set("*> \t\r\n$")
    assert all(literal.split("."))


def test_a_spiffe_id_names_trust_domain_namespace_and_account() -> None:
    assert (
        Deployment("example.org", "prod").spiffe_id("canary")
        == "spiffe://example.org/ns/prod/sa/canary"
    )
    assert Deployment().spiffe_id("w") == "spiffe://securetransport.local/ns/default/sa/w"
