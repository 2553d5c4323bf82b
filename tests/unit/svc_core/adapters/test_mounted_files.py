"""A mounted certificate is read whole, whatever the one who mounts it is doing."""

from pathlib import Path

import pytest

from svc_core.adapters.mounted_files import MountedFiles
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import TlsMaterialError
from svc_core.ports.mounted import MountedPair


class Kubelet:
    """Mounts a Secret as the kubelet does: versions, a symlink to one, and links through it."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._number = 0
        mount.mkdir()

    def write(self, **files: bytes) -> None:
        """Replace all files at once."""
        self._number += 1
        version = self._mount / f"..version_{self._number}"
        version.mkdir()
        for name, content in files.items():
            (version / name.replace("_", ".")).write_bytes(content)
        fresh = self._mount / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self._mount / "..data")
        for name in files:
            link = self._mount / name.replace("_", ".")
            if not link.is_symlink():
                link.symlink_to(f"..data/{link.name}")


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    return tmp_path / "tls"


async def read(mount: Path) -> tuple[str, bytes] | None:
    pair = await MountedFiles(mount).read()
    return (pair.chain_pem, pair.key_pem.reveal()) if pair is not None else None


async def test_each_version_is_read_as_one(mount: Path) -> None:
    kubelet = Kubelet(mount)
    kubelet.write(tls_crt=b"chain 1", tls_key=b"key 1", ca_crt=b"ca")
    first = await read(mount)

    kubelet.write(tls_crt=b"chain 2", tls_key=b"key 2", ca_crt=b"ca")

    assert first == ("chain 1", b"key 1")
    assert await read(mount) == ("chain 2", b"key 2")


def write_plainly(mount: Path, **files: bytes) -> None:
    """Write the files as a person would."""
    mount.mkdir(exist_ok=True)
    for name, content in files.items():
        (mount / name.replace("_", ".")).write_bytes(content)


async def test_a_plain_directory_will_do(mount: Path) -> None:
    write_plainly(mount, tls_crt=b"chain", tls_key=b"key")

    assert await read(mount) == ("chain", b"key")


async def test_there_is_none_before_it_is_whole(mount: Path) -> None:
    assert await read(mount) is None
    kubelet = Kubelet(mount)
    assert await read(mount) is None
    kubelet.write(tls_crt=b"chain")
    assert await read(mount) is None
    (mount / "..data").unlink()
    (mount / "..data").symlink_to("..version_9")
    assert await read(mount) is None


async def test_two_versions_are_never_mixed(mount: Path) -> None:
    kubelet = Kubelet(mount)
    kubelet.write(tls_crt=b"chain 1", tls_key=b"key 1")

    class Interrupted(MountedFiles):
        """Resolves the version, and then it changes."""

        def _version(self) -> Path:
            found = super()._version()
            if found.name == "..version_1":
                kubelet.write(tls_crt=b"chain 2", tls_key=b"key 2")
            return found

    assert await Interrupted(mount).read() is None
    assert await read(mount) == ("chain 2", b"key 2")


async def test_what_is_no_file_is_named(mount: Path) -> None:
    write_plainly(mount, tls_key=b"key")
    (mount / "tls.crt").mkdir()

    with pytest.raises(TlsMaterialError, match=f"{mount}: cannot be read"):
        await MountedFiles(mount).read()


async def test_what_is_no_text_is_named(mount: Path) -> None:
    write_plainly(mount, tls_crt=b"\xff\xfe", tls_key=b"key")

    with pytest.raises(TlsMaterialError, match="is no PEM"):
        await MountedFiles(mount).read()


def test_the_key_is_not_in_its_text() -> None:
    assert "secret" not in repr(MountedPair("chain", SecretBytes(b"secret")))
