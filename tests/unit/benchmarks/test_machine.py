"""Where something was measured is said with it."""

import platform

import pytest

from benchmarks.machine import cpu_model, describe_machine, describe_versions

X86 = "processor\t: 0\nvendor_id\t: Some\nmodel name\t: Some CPU @ 2.0GHz\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (X86, "Some CPU @ 2.0GHz"),
        ("processor : 0\nBogoMIPS : 50\nModel : Some Board 4\n", "Some Board 4"),
        ("nothing of the kind", ""),
        ("", ""),
    ],
)
def test_the_model_is_the_first_that_is_named(text: str, model: str) -> None:
    assert cpu_model(text) == model


def test_this_machine_has_a_name_processors_and_a_load() -> None:
    machine = describe_machine()

    assert machine.cpu
    assert len(machine.cpus) == len(set(machine.cpus)) >= 1
    assert all(load >= 0 for load in machine.load)


def test_versions_name_the_interpreter_openssl_and_the_project() -> None:
    versions = describe_versions()

    assert versions["python"] == platform.python_version()
    assert versions["openssl"].startswith("OpenSSL ")
    assert {"securetransport", "cryptography", "fastavro"} <= versions.keys()
