"""Coverage-guided fuzzing of every decoder of the wire formats, for a bounded time.

    pip install -e '.[fuzz]'
    python -m scripts.fuzz_wire --minutes 10

One byte of the input picks the decoder, the rest is what it is fed; the wire vectors are the
seeds. Half of the mutations change bytes anywhere, half one value inside of a record. A finding
stops the run, its input is kept in the folder of the run. What counts as one is said in
`tests.vectors.wire_checks`, more than 5 s or 1 GiB for one input beside it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDER: Final = Path("var/fuzz/wire")
LONGEST: Final = 8192
_INSTRUMENTED: Final = ["svc_core.wire", "svc_core.domain", "tests.vectors.avro_by_hand"]


def main(arguments: Sequence[str]) -> int:
    """Fuzz, and return the exit code: 0 nothing found, 2 the fuzzer is not installed.

    A finding ends the process inside of the fuzzer, with its own code (77).
    """
    parser = argparse.ArgumentParser(prog="fuzz_wire", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    chosen = parser.parse_args(arguments)
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        print("fuzz_wire: atheris is not installed (extra `fuzz`)", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=_INSTRUMENTED):
        checks = import_module("tests.vectors.wire_checks")
    mutations = import_module("tests.vectors.wire_mutations")
    write_seeds(chosen.folder, checks)
    atheris.Setup(
        _options(chosen),
        lambda data: fuzz_one(checks, data),
        custom_mutator=lambda data, size, seed: mutate(
            checks, mutations, data, choice=seed, change=lambda old: atheris.Mutate(old, size)
        )[:size],
    )
    atheris.Fuzz()
    return 0


def fuzz_one(checks: ModuleType, data: bytes) -> None:
    """Feed ``data`` behind its first byte to the decoder which that byte picks."""
    names = sorted(checks.CHECKS)
    if data:
        name = names[data[0] % len(names)]
        checks.CHECKS[name](_tag(checks, name) + data[1:])


def mutate(
    checks: ModuleType,
    mutations: ModuleType,
    data: bytes,
    *,
    choice: int,
    change: Callable[[bytes], bytes],
) -> bytes:
    """Return ``data`` with one value of the record in it changed, or changed anywhere.

    Every other ``choice`` is for the first, as long as ``data`` is a record.
    """
    names = sorted(checks.CHECKS)
    if not data or choice % 2:
        return change(data)
    name = names[data[0] % len(names)]
    tag = _tag(checks, name)
    try:
        changed: bytes = mutations.change_one_value(
            name, tag + data[1:], choice=choice // 2, change=change
        )
    except mutations.NotReadableError:
        return change(data)
    return data[:1] + changed[len(tag) :]


def _tag(checks: ModuleType, name: str) -> bytes:
    # Given to every input: what has another tag is refused at once, which leads nowhere.
    tag: bytes = checks.CODECS[name].tag if name in checks.CODECS else b""
    return tag


def write_seeds(folder: Path, checks: ModuleType) -> None:
    """Write the wire vectors below ``folder`` as inputs of the fuzzer."""
    vector_files = import_module("tests.vectors.vector_files")
    seeds = folder / "corpus"
    seeds.mkdir(parents=True, exist_ok=True)
    names = sorted(checks.CHECKS)
    for vector in map(vector_files.load, vector_files.names()):
        name = vector.name if vector.of_prototype else vector.codec
        start = bytes((names.index(name),))
        (seeds / vector.name).write_bytes(start + vector.raw[len(_tag(checks, name)) :])


def _options(chosen: argparse.Namespace) -> list[str]:
    return [
        "fuzz_wire",
        f"-max_total_time={int(chosen.minutes * 60)}",
        f"-max_len={LONGEST}",
        f"-seed={chosen.seed}",
        "-timeout=5",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={chosen.folder}/",
        str(chosen.folder / "corpus"),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
