"""Every primitive is measured through our functions and beside the library's own call."""

from collections.abc import Sequence

import pytest

from benchmarks.crypto_cases import (
    LISTING,
    REFERENCE,
    CryptoBench,
    CryptoCase,
    all_cases,
    all_refusals,
)
from benchmarks.timed_loop import Operation
from svc_core.crypto.registry import LOADERS, open_registry

REGISTRY = open_registry(LOADERS)
CASES = all_cases(REGISTRY)


def name(case: CryptoCase) -> str:
    return f"{case.name} {case.provider}"


def test_all_primitives_are_there_once_per_provider() -> None:
    names = [name(case) for case in CASES]

    assert len(set(names)) == len(names)
    for wanted in (
        *(f"ML-DSA-{level} {what}" for level in (44, 65, 87) for what in ("sign", "verify")),
        *(f"ML-KEM-{size} decapsulate" for size in (768, 1024)),
        "HKDF-SHA256 32 B",
        "AES-256-GCM encrypt 300 B",
        "AES-256-GCM decrypt 4 KiB",
    ):
        assert f"{wanted} cryptography" in names


def test_the_second_library_stands_beside_the_first() -> None:
    by_provider = {
        provider: {case.name for case in CASES if case.provider == provider}
        for provider in ("cryptography", "pqcrypto")
    }

    assert by_provider["pqcrypto"] < by_provider["cryptography"]


def test_what_the_registry_refuses_is_measured_bare_only_and_said_with_the_reason() -> None:
    bare_only = {case.name for case in CASES if case.ours is None}

    refused = {f"{v.algorithm} {v.operation}" for v in REGISTRY.refusals}
    assert {name for name in bare_only if not name.endswith("keygen")} == refused
    assert {case.provider for case in CASES if case.ours is None} == {"pqcrypto"}
    said = " ".join(all_refusals(REGISTRY))
    assert all(name in said for name in refused)
    assert all(v.refusal in said for v in REGISTRY.refusals)


def same_job(case: CryptoCase) -> Sequence[Operation]:
    return [case.bare] if case.ours is None else [case.ours, case.bare]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_every_operation_runs_again_and_again(case: CryptoCase) -> None:
    for operation in same_job(case):
        operation()
        operation()


async def test_a_slice_of_a_case_has_a_count_and_a_time() -> None:
    bench = CryptoBench(CASES, all_refusals(REGISTRY))

    listed = (await bench.measure(LISTING, 0))["cases"]
    for case in (REFERENCE, "ML-KEM-768 encapsulate/pqcrypto/ours", "ML-DSA-65 sign/pqcrypto/bare"):
        found = await bench.measure(case, 0.002)
        assert found["count"] >= 1
        assert found["timed_s"] >= 0.002

    assert [(item["name"], item["provider"]) for item in listed] == [
        (case.name, case.provider) for case in CASES
    ]
