"""What OpenBao keeps on disk: its configuration, and who may read and write what."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.endpoints import OpenBaoEndpoint, port_of
from devstack.programs import Account
from svc_core.adapters.files import write_private

_CONFIG: Final = """\
ui                = false
log_level         = "warn"
cluster_name      = "securetransport"
api_addr          = "{url}"
cluster_addr      = "https://127.0.0.1:{cluster_port}"
default_lease_ttl = "1h"
max_lease_ttl     = "87600h"

storage "raft" {{
  path                   = "{data}"
  node_id                = "local"
  performance_multiplier = 1
}}

listener "tcp" {{
  address                                 = "127.0.0.1:{port}"
  cluster_address                         = "127.0.0.1:{cluster_port}"
  tls_cert_file                           = "{tls}/cert.pem"
  tls_key_file                            = "{tls}/key.pem"
  tls_min_version                         = "tls13"
  disable_unauthed_generate_root_endpoints = {root_is_closed}
}}

audit "file" "requests" {{
  options {{
    file_path = "{audit}"
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class OpenBaoFiles:
    """What OpenBao keeps below its directory."""

    directory: Path

    @property
    def config(self) -> Path:
        """``config.hcl``."""
        return self.directory / "config.hcl"

    @property
    def data(self) -> Path:
        """Raft storage."""
        return self.directory / "data"

    @property
    def tls(self) -> Path:
        """The listener's certificate and key."""
        return self.directory / "tls"

    @property
    def audit(self) -> Path:
        """Folder of the audit device's file."""
        return self.directory / "audit"

    @property
    def audit_file(self) -> Path:
        """Where the audit device writes; OpenBao refuses every request when it cannot."""
        return self.audit / "audit.log"

    @property
    def unseal_key(self) -> Path:
        """The only unseal key, hexadecimal, mode 0600; never readable by OpenBao itself."""
        return self.directory / "unseal.key"

    @property
    def bootstrap_mark(self) -> Path:
        """What was set up by the last complete bootstrap."""
        return self.directory / "bootstrap.json"

    def write_config(self, endpoint: OpenBaoEndpoint, *, root_is_closed: bool) -> None:
        """Write ``config.hcl``; it holds no secret.

        Args:
            endpoint: where to listen.
            root_is_closed: whether a root token can not be made from the unseal key alone.
        """
        text = _CONFIG.format(
            url=endpoint.url,
            port=port_of(endpoint.url),
            cluster_port=endpoint.cluster_port,
            data=self.data,
            tls=self.tls,
            audit=self.audit_file,
            root_is_closed="true" if root_is_closed else "false",
        )
        write_private(self.config, text.encode())
        self.config.chmod(0o644)

    def hand_over(self, account: Account) -> None:
        """Give OpenBao what it must read and write; the unseal key stays ours."""
        shutil.chown(self.tls, account.user, account.group)
        for path in (self.tls / "cert.pem", self.tls / "key.pem"):
            shutil.chown(path, account.user, account.group)
        for directory in (self.data, self.audit):
            for path in (directory, *directory.rglob("*")):
                shutil.chown(path, account.user, account.group)
