"""Reading what was pinned out of band: the operator's key and the list it signed.

The operator's key is read once: who signs lists is not for a list, or for whoever can write where
it lies, to change. The list itself may be replaced while a process runs.
"""

import binascii
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

from svc_core.adapters.directory_watch import looks_due
from svc_core.config import TrustSettings
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Verifier
from svc_core.domain.operator_command import OPERATOR_SIGNER
from svc_core.errors import ConfigError, MalformedMessageError, RejectedError
from svc_core.wire import identities
from svc_core.wire.identities import PublicIdentity, SignedIdentities


def read_operator_identity(settings: TrustSettings) -> PublicIdentity:
    """Return the operator's identity, which signs the list and every command.

    Raises:
        ConfigError: the file is missing, or holds no ML-DSA-87 key in base64.
    """
    path = settings.operator_key_file
    try:
        public = b64decode(path.read_text().strip(), validate=True)
        Verifier.from_public(Algorithm.ML_DSA_87, public)
    except OSError as err:
        raise ConfigError(f"cannot read the operator's key: {err}") from err
    except (RejectedError, ValueError, binascii.Error) as err:
        raise ConfigError(f"{path} holds no public key of the operator") from err
    return PublicIdentity(OPERATOR_SIGNER, Algorithm.ML_DSA_87, public)


class PinnedList:
    """The list as a file, followed while it is replaced."""

    def __init__(self, settings: TrustSettings) -> None:
        """Read the operator's key, for as long as this lives.

        Raises:
            ConfigError: there is none.
        """
        self._path: Path = settings.metadata_identities_file
        self._operator_file = settings.operator_key_file
        operator = read_operator_identity(settings)
        self._operator = Verifier.from_public(Algorithm.ML_DSA_87, operator.public)

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    def read(self) -> SignedIdentities:
        """Return the list as it is now.

        Raises:
            ConfigError: it is missing or damaged, or not signed by the operator.
        """
        try:
            return self.verified(self._path.read_bytes())
        except OSError as err:
            raise ConfigError(f"cannot read the pinned identities: {err}") from err
        except RejectedError as err:
            raise ConfigError(
                f"{self._path} is not signed by the operator's key in {self._operator_file}: {err}"
            ) from err

    def verified(self, raw: bytes) -> SignedIdentities:
        """Return the list in ``raw`` once the operator's signature holds.

        Raises:
            RejectedError: it is damaged, or not signed by the operator.
        """
        signed = identities.decode(raw)
        self._operator.verify(
            signed.signature, signed.signing_input, context=contexts.IDENTITY_LIST
        )
        try:
            for identity in (*signed.identities, *signed.former):
                Verifier.from_public(Algorithm(identity.algorithm), identity.public)
        except ValueError as err:
            raise MalformedMessageError("the list names a key that verifies nothing") from err
        return signed

    async def follow(self) -> AsyncIterator[bytes | None]:
        """Yield its bytes now and whenever they may have changed; None while there is no file.

        Raises:
            ConfigError: its directory cannot be watched.
        """
        async for _ in looks_due(self._path.parent):
            yield self._read()

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                # One more than is allowed, so that too much is seen and not taken into memory.
                return file.read(identities.LIMIT + 1)
        except OSError:
            return None


def read_pinned_identities(settings: TrustSettings) -> tuple[PublicIdentity, ...]:
    """Return Metadata's identities, once the operator's signature over the list holds.

    Raises:
        ConfigError: a file is missing or damaged, or the list is not signed by the operator.
    """
    return PinnedList(settings).read().identities


def read_audit_identities(settings: TrustSettings) -> tuple[PublicIdentity, ...]:
    """Return everybody who may have signed a checkpoint of the audit log: the former ones, too.

    Raises:
        ConfigError: as `read_pinned_identities` does.
    """
    signed = PinnedList(settings).read()
    return (*signed.identities, *signed.former)
