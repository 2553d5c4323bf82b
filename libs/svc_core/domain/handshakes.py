"""Why a TLS listener turned somebody away: few reasons, so that each is a metric of its own."""

from enum import StrEnum


class Refusal(StrEnum):
    """What was wrong with a handshake, as the listener saw it."""

    NO_CERTIFICATE = "no_certificate"
    """The listener insists on one and the client showed none."""
    UNKNOWN_CA = "unknown_ca"
    """No trusted issuer signed the client's certificate; withdrawn ones count."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_PURPOSE = "wrong_purpose"
    """The certificate is not for a client."""
    PROTOCOL_VERSION = "protocol_version"
    """An older version than TLS 1.3."""
    PLAIN_TEXT = "plain_text"
    """What came is no TLS at all."""
    TIMEOUT = "timeout"
    """The handshake was not finished in time."""
    OTHER = "other"
