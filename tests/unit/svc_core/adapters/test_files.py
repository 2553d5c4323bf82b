"""Readers see one version or the other, whole; secrets are nobody else's to read."""

import os
import stat
import threading
from pathlib import Path

import pytest

from svc_core.adapters.files import (
    make_private_directory,
    publish_directory,
    read_directory,
    write_private,
)

NAMES = ("cert.pem", "key.pem")
VERSIONS = 60


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pair(number: int) -> dict[str, bytes]:
    return {name: f"{number} ".encode() * 2000 for name in NAMES}


def test_a_published_directory_is_reached_by_its_link(tmp_path: Path) -> None:
    link = tmp_path / "tls"

    target = publish_directory(link, pair(1))

    assert target == tmp_path / "tls.d" / "1"
    assert link.readlink() == Path("tls.d/1")
    assert (link / "cert.pem").read_bytes() == pair(1)["cert.pem"]


def test_keys_are_private_and_certificates_are_not(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        names = ("cert.pem", "key.pem", "server-key.pem", "accounts.conf", "secret_id")
        target = publish_directory(tmp_path / "live", dict.fromkeys(names, b"x"))
    finally:
        os.umask(previous)

    assert {n: oct(mode(target / n)) for n in names} == {
        "cert.pem": "0o644",
        "key.pem": "0o600",
        "server-key.pem": "0o600",
        "accounts.conf": "0o644",
        "secret_id": "0o600",
    }


def test_the_last_two_versions_are_kept(tmp_path: Path) -> None:
    link = tmp_path / "tls"
    for number in range(1, 6):
        publish_directory(link, pair(number))

    assert sorted(p.name for p in (tmp_path / "tls.d").iterdir()) == ["4", "5"]
    assert read_directory(link, NAMES) == pair(5)


def test_what_a_crash_left_is_passed_over(tmp_path: Path) -> None:
    link = tmp_path / "tls"
    publish_directory(link, pair(1))
    (tmp_path / "tls.d" / "2").mkdir()
    (tmp_path / "tls.d" / ".3.12345").mkdir()
    (tmp_path / f".tls.link.{os.getpid()}").symlink_to("nowhere")

    publish_directory(link, pair(3))

    assert read_directory(link, NAMES) == pair(3)


def test_a_failed_write_leaves_the_version_in_use(tmp_path: Path) -> None:
    link = tmp_path / "tls"
    publish_directory(link, pair(1))

    with pytest.raises(FileNotFoundError):
        publish_directory(link, {"cert.pem": b"x", "missing/key.pem": b"x"})

    assert read_directory(link, NAMES) == pair(1)


def test_a_reader_beside_a_fast_writer_sees_whole_versions_only(tmp_path: Path) -> None:
    link = tmp_path / "tls"
    publish_directory(link, pair(0))
    done = threading.Event()

    def write() -> None:
        for number in range(1, VERSIONS):
            publish_directory(link, pair(number))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[dict[str, bytes] | None] = []
    while not done.is_set():
        seen.append(read_directory(link, NAMES))
    writer.join()

    torn = [s for s in seen if s is None or s["cert.pem"] != s["key.pem"] or not s["cert.pem"]]
    assert torn == []
    numbers = [int(s["cert.pem"].split()[0]) for s in seen if s]
    assert numbers == sorted(numbers)


def test_a_missing_file_or_link_is_nothing(tmp_path: Path) -> None:
    link = tmp_path / "tls"
    assert read_directory(link, NAMES) is None

    publish_directory(link, {"cert.pem": b"x"})

    assert read_directory(link, NAMES) is None


def test_a_private_file_is_replaced_whole_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret_id"
    path.write_bytes(b"old, and readable by all")
    path.chmod(0o644)

    write_private(path, b"new")

    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret_id"]


def test_a_private_directory_is_its_owners_only(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state"
    directory.mkdir(parents=True, mode=0o755)

    make_private_directory(directory)

    assert mode(directory) == 0o700
