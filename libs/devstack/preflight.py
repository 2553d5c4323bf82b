"""What must hold before a stack is started, and the errors of a disk that does not let it."""

import errno
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devstack.endpoints import read_endpoints
from devstack.errors import DiskSpaceError, StackProfileError
from devstack.layout import SERVICES, Layout
from devstack.programs import find_nats_server, find_openbao
from svc_core.adapters.files import make_private_directory
from svc_core.domain.identity import METADATA
from svc_core.domain.profiles import PROFILES
from svc_core.errors import ConfigError

_LEAST_DISK: Final = 200 << 20
_MANIFESTS: Final = (
    Path(__file__).with_name("acl.yaml"),
    Path(__file__).parents[2] / "deploy" / "acl.yaml",
)


def check_start(layout: Layout, *, profile: str, services: Collection[str]) -> None:
    """Refuse a start that cannot succeed, before anything is made.

    Raises:
        ConfigError: the profile or a service is unknown, or the directory cannot be used.
        MissingProgramError: a server program is not installed.
        StackProfileError: the directory holds a stack of another profile.
        DiskSpaceError: less than 200 MB are free.
    """
    if profile not in PROFILES:
        raise ConfigError(
            f"there is no profile {profile!r}: use one of {', '.join(sorted(PROFILES))}"
        )
    if unknown := set(services) - set(SERVICES):
        raise ConfigError(f"there is no service {', '.join(sorted(unknown))}")
    find_openbao()
    find_nats_server()
    existing = read_endpoints(layout)
    if existing is not None and existing.profile != profile:
        raise StackProfileError(asked=profile, existing=existing.profile)
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(layout.root).free
    except OSError as err:
        raise ConfigError(f"cannot use {layout.root}: {err.strerror}") from err
    if free < _LEAST_DISK:
        raise DiskSpaceError(f"only {free >> 20} MB are free at {layout.root}")


def provide_manifest(layout: Layout) -> None:
    """Put the default ACL manifest where Metadata follows it, unless one is there."""
    make_private_directory(layout.service(METADATA))
    if not layout.acl_file.exists():
        source = next((path for path in _MANIFESTS if path.is_file()), None)
        if source is None:
            raise ConfigError("the installation lacks the default ACL manifest")
        shutil.copyfile(source, layout.acl_file)


@contextmanager
def disk_errors_explained(layout: Layout) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says so."""
    try:
        yield
    except OSError as err:
        if err.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskSpaceError(f"the disk of {layout.root} is full") from err
        if err.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ConfigError(f"cannot write {err.filename}: {err.strerror}") from err
        raise
