"""Reading what was pinned out of band: the operator's key and the list it signed."""

import binascii
from base64 import b64decode

from svc_core.config import TrustSettings
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Verifier
from svc_core.domain.operator_command import OPERATOR_SIGNER
from svc_core.errors import ConfigError, RejectedError
from svc_core.wire import identities
from svc_core.wire.identities import PublicIdentity


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


def read_pinned_identities(settings: TrustSettings) -> tuple[PublicIdentity, ...]:
    """Return Metadata's identities, once the operator's signature over the list holds.

    Raises:
        ConfigError: a file is missing or damaged, or the list is not signed by the operator.
    """
    try:
        operator = b64decode(settings.operator_key_file.read_text().strip(), validate=True)
        verifier = Verifier.from_public(Algorithm.ML_DSA_87, operator)
        signed = identities.decode(settings.metadata_identities_file.read_bytes())
        verifier.verify(
            signed.signature,
            identities.signing_input(signed.identities),
            context=contexts.IDENTITY_LIST,
        )
    except OSError as err:
        raise ConfigError(f"cannot read the pinned identities: {err}") from err
    except (RejectedError, ValueError, binascii.Error) as err:
        raise ConfigError(
            f"{settings.metadata_identities_file} is not signed by the operator's key "
            f"in {settings.operator_key_file}: {err}"
        ) from err
    return signed.identities
