"""What the two load services say to each other."""

from dataclasses import dataclass, field

from svc_core.domain.secrets import SecretBytes


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """One user's wish to be let in."""

    user_id: str
    password_hash: str = field(repr=False)
    """``base64(salt):base64(hash)``."""
    otp: str | None = field(default=None, repr=False)
    """One-time password, if the user gave one."""


@dataclass(frozen=True, slots=True, eq=False)
class AuthenticationResponse:
    """The decision on one request; keys and tokens are empty when it is a denial."""

    oid: str
    user_token: str = field(repr=False)
    password_hash: str = field(repr=False)
    identity_token: str = field(repr=False)
    identity_key: SecretBytes
    """32 bytes, or none."""
    identity_iv: bytes = field(repr=False)
    """16 bytes, or none."""
    authorization_token: str = field(repr=False)
    authorization_key: SecretBytes
    """32 bytes, or none."""
    authorization_iv: bytes = field(repr=False)
    """16 bytes, or none."""
    account_status: str
    member_level: str
