"""Files that are whole or not there: private files and versioned directories behind a symlink.

A reader that opens ``link/name`` sees one version or the other, never half of each: a new
directory is written and synced beside the old one, then the symlink is renamed over.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_KEPT_VERSIONS: Final = 2
_PRIVATE: Final = 0o600
_PUBLIC: Final = 0o644
_OPEN_DIRECTORY: Final = 0o755
_PUBLIC_SUFFIXES: Final = frozenset({".pem", ".conf", ".json", ".pub"})


def make_private_directory(path: Path) -> Path:
    """Create ``path`` with mode 0700 (its parents with the usual one) and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` atomically by ``content`` with mode 0600, synced to disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _write_synced(temporary, content, _PRIVATE)
    temporary.replace(path)
    _sync_directory(path.parent)


def publish_directory(link: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` as the next version behind the symlink ``link`` and return its directory.

    The directory is ``<link>.d/<n>``; the last two versions are kept. Files called ``*key*`` get
    mode 0600, other known public kinds 0644.
    """
    store = link.with_name(f"{link.name}.d")
    store.mkdir(parents=True, exist_ok=True)
    versions = _versions(store)
    target = store / str(versions[-1] + 1 if versions else 1)
    staging = store / f".{target.name}.{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    if all(_mode_of(name) == _PUBLIC for name in files):
        # Whatever the umask: trust is for everybody to read, as long as no key lies beside it.
        store.chmod(_OPEN_DIRECTORY)
        staging.chmod(_OPEN_DIRECTORY)
    for name, content in files.items():
        _write_synced(staging / name, content, _mode_of(name))
    _sync_directory(staging)
    staging.replace(target)
    _point(link, target)
    for stale in _versions(store)[:-_KEPT_VERSIONS]:
        shutil.rmtree(store / str(stale), ignore_errors=True)
    return target


def read_directory(link: Path, names: tuple[str, ...]) -> dict[str, bytes] | None:
    """Return the named files of one single version behind ``link``; None when one is missing."""
    while True:
        try:
            directory = link.resolve(strict=True)
        except FileNotFoundError:
            return None
        try:
            return {name: (directory / name).read_bytes() for name in names}
        except FileNotFoundError:
            if directory.is_dir():
                return None
            # The version was removed while it was read: a writer was two versions faster.


def _mode_of(name: str) -> int:
    if "key" in name:
        return _PRIVATE
    return _PUBLIC if Path(name).suffix in _PUBLIC_SUFFIXES else _PRIVATE


def _versions(store: Path) -> list[int]:
    return sorted(int(entry.name) for entry in store.iterdir() if entry.name.isdigit())


def _point(link: Path, target: Path) -> None:
    temporary = link.with_name(f".{link.name}.link.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(Path(target.parent.name) / target.name)
    temporary.replace(link)
    _sync_directory(link.parent)


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
