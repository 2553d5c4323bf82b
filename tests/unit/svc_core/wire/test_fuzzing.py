"""The fuzzer's half that needs no fuzzer: which decoder is fed what, and what counts as found."""

import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import fuzz_wire
from svc_core.wire import service_bundle
from tests.vectors import (
    avro_by_hand,
    prototype_shapes,
    vector_files,
    wire_checks,
    wire_mutations,
)
from tests.vectors.wire_codecs import RECORDS

NAMES = sorted(wire_checks.CHECKS)


def test_every_seed_goes_to_its_own_decoder_and_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzz_wire.write_seeds(tmp_path, wire_checks)
    taken: list[str] = []

    def watched(name: str) -> wire_checks.Check:
        check = wire_checks.CHECKS[name]

        def run(raw: bytes) -> bool:
            taken.extend([name] if check(raw) else [])
            return True

        return run

    monkeypatch.setattr(wire_checks, "CHECKS", {name: watched(name) for name in NAMES})
    seeds = sorted((tmp_path / "corpus").iterdir())
    for seed in seeds:
        fuzz_wire.fuzz_one(wire_checks, seed.read_bytes())

    assert len(taken) == len(seeds) == len(vector_files.names())
    assert sorted(set(taken)) == NAMES


def test_nothing_is_fed_to_nobody() -> None:
    fuzz_wire.fuzz_one(wire_checks, b"")


def test_a_second_encoding_of_one_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = RECORDS["service bundle"]
    fields: dict[str, Any] = vector_files.load("service_bundle").fields
    loose = codec.tag + avro_by_hand.write(codec.by_hand(), fields | {"status": "other"})
    monkeypatch.setattr(service_bundle, "require", lambda _condition, _reason: None)

    with pytest.raises(AssertionError, match="another encoding"):
        wire_checks.CHECKS["service bundle"](loose)


def test_a_reader_by_hand_that_does_not_agree_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_by_hand, "read", lambda *_, **__: {"another": "reading"})

    with pytest.raises(AssertionError, match="does not agree"):
        wire_checks.CHECKS["topic key"](vector_files.load("topic_key").raw)


def test_one_value_is_changed_and_the_frame_stays_whole() -> None:
    raw = vector_files.load("authentication_request").raw

    changed = [
        wire_mutations.change_one_value(
            "authentication request", raw, choice=choice, change=lambda old: old + b"!"
        )
        for choice in range(4)
    ]

    assert changed == [
        b"I1\x0euser-1!\x22c2FsdA==:aGFzaA==\x00\x0c123456",
        b"I1\x0cuser-1\x24c2FsdA==:aGFzaA==!\x00\x0c123456",
        b"I1\x0cuser-1\x22c2FsdA==:aGFzaA==\x00\x0e123456!",
        changed[0],
    ]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key in value for k, v in leaves(value[key], f"{path}/{key}").items()}
    return {path: value}


def test_every_value_has_its_turn_to_be_changed_alone() -> None:
    shape = prototype_shapes.schema("ServiceBundle")
    raw = vector_files.load("prototype_service_bundle").raw
    before = leaves(avro_by_hand.read(shape, raw, ordered=False))

    changed = []
    for choice in range(len(before)):
        other = wire_mutations.change_one_value(
            "prototype_service_bundle", raw, choice=choice, change=lambda old: b"!" + old[1:]
        )
        after = leaves(avro_by_hand.read(shape, other))
        changed += [path for path in before if after[path] != before[path]]

    assert changed == list(before)


def test_json_stays_canonical() -> None:
    raw = vector_files.load("status").raw

    changed = wire_mutations.change_one_value("status", raw, choice=0, change=lambda _: b"other")

    assert changed == raw.replace(b'"boot-1"', b'"other"')


@pytest.mark.parametrize("name", ["framing", "status", "topic key", "prototype_topic_key"])
def test_what_is_not_whole_is_changed_anywhere(name: str) -> None:
    data = bytes((NAMES.index(name),)) + b"\xffnothing"

    changed = fuzz_wire.mutate(
        wire_checks, wire_mutations, data, choice=4, change=lambda old: old[::-1]
    )

    assert changed == data[::-1]


def test_without_the_fuzzer_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)

    assert fuzz_wire.main([]) == 2
    assert "extra `fuzz`" in capsys.readouterr().err
