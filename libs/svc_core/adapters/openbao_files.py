"""The AppRole credentials on disk: read at every login, replaced whole or not at all."""

from datetime import UTC, datetime
from typing import Final

from svc_core.adapters.files import write_private
from svc_core.adapters.openbao_errors import CredentialNotKeptError
from svc_core.config import OpenBaoSettings
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError

_UNKNOWN_AGE: Final = "at an unknown time"


class CredentialFiles:
    """The role-id and secret-id files of one instance, which is their only writer."""

    def __init__(self, settings: OpenBaoSettings) -> None:
        self._role_id = settings.role_id_file
        self._secret_id = settings.secret_id_file

    def read_role_id(self) -> str:
        """Return the role-id, or raise `ConfigError`."""
        try:
            return self._role_id.read_text().strip()
        except OSError as err:
            raise ConfigError(f"cannot read the AppRole credentials: {err}") from err

    def read_secret_id(self) -> SecretBytes:
        """Return the secret-id, or raise `ConfigError`."""
        try:
            return SecretBytes(self._secret_id.read_bytes().strip())
        except OSError as err:
            raise ConfigError(f"cannot read the AppRole credentials: {err}") from err

    def find_secret_id(self) -> SecretBytes | None:
        """Return the secret-id, or None where somebody removed it; a live session can mend that."""
        try:
            return SecretBytes(self._secret_id.read_bytes().strip())
        except OSError:
            return None

    def keep(self, secret_id: SecretBytes) -> None:
        """Replace the secret-id: atomic, synced, mode 0600, and nothing half-written left over.

        Raises:
            CredentialNotKeptError: the disk did not take it; what was there is still there.
        """
        try:
            write_private(self._secret_id, secret_id.reveal() + b"\n")
            # What a killed predecessor had prepared and not put in place is a secret, too.
            for stale in self._secret_id.parent.glob(f".{self._secret_id.name}.*"):
                if stale.suffix[1:].isdigit():
                    stale.unlink()
        except OSError as err:
            raise CredentialNotKeptError(f"cannot write {self._secret_id}: {err}") from err

    def describe(self) -> str:
        """Say where the secret-id is and since when, for an error message."""
        try:
            written_at = datetime.fromtimestamp(self._secret_id.stat().st_mtime, UTC)
        except OSError:
            return f"{self._secret_id}, written {_UNKNOWN_AGE}"
        return f"{self._secret_id}, written {written_at:%Y-%m-%dT%H:%M:%SZ}"
