"""A mounted certificate that changes is noticed at once, and only when it really changed."""

import asyncio
from pathlib import Path

import pytest

from svc_core.adapters.mounted_files import MountedFilesWatch
from svc_core.errors import ConfigError
from tests.unit.svc_core.adapters.test_mounted_files import Kubelet


async def test_a_swap_of_the_symlink_is_noticed_and_the_same_bytes_are_not(tmp_path: Path) -> None:
    mount, changes = tmp_path / "tls", asyncio.Queue[int]()
    kubelet = Kubelet(mount)
    kubelet.write(tls_crt=b"chain 1", tls_key=b"key 1")
    watch = MountedFilesWatch(mount, lambda: changes.put_nowait(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        # That nothing is said can only be waited for: longer than the watch takes to begin, and to
        # tell of what it finds there.
        await asyncio.sleep(0.5)
        assert changes.empty()

        kubelet.write(tls_crt=b"chain 1", tls_key=b"key 1")
        # Longer than the two seconds after which it reads again whatever the watch says: so it has
        # read this version at least once, and kept silent.
        await asyncio.sleep(2.5)
        assert changes.empty()

        kubelet.write(tls_crt=b"chain 2")
        kubelet.write(tls_crt=b"chain 2", tls_key=b"key 2")
        async with asyncio.timeout(3):
            await changes.get()
        task.cancel()
    assert changes.empty()


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path / 'none'}: cannot be watched"):
        await MountedFilesWatch(tmp_path / "none", lambda: None).run()
