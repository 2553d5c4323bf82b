"""Every context string and label in one place, so that no two uses can share one.

A signature context separates kinds of signed things (FIPS 204, at most 255 bytes); a seal label
opens the HKDF info of one kind of sealed thing. The number after ``v`` changes whenever the bytes
it covers change their meaning.
"""

from typing import Final

SIGNED_MESSAGE: Final = b"svc_core/signed-message/v1"
BATCH_ROOT: Final = b"svc_core/batch-root/v1"
BUNDLE_REQUEST: Final = b"svc_core/bundle-request/v1"
BUNDLE_REPLY: Final = b"svc_core/bundle-reply/v1"
DESIRED_STATE: Final = b"svc_core/desired-state/v1"
INSTANCE_STATUS: Final = b"svc_core/instance-status/v1"
IDENTITY_LIST: Final = b"svc_core/identity-list/v1"
BUNDLE_NOTICE: Final = b"svc_core/bundle-notice/v1"
OPERATOR_COMMAND: Final = b"svc_core/operator-command/v1"
AUDIT_CHECKPOINT: Final = b"svc_core/audit-checkpoint/v1"
INSTANCE_KEM: Final = b"svc_core/instance-kem/v1"
STORED_BUNDLE: Final = b"svc_core/stored-bundle/v1"

SEAL_MESSAGE: Final = b"svc_core/seal-message/v1"
"""Payload of a signed message, under a topic key; parts: topic, topic key id."""
SEAL_BUNDLE: Final = b"svc_core/seal-bundle/v1"
"""A service bundle, under a KEM secret; parts: service, instance."""
SEAL_STORED_BUNDLE: Final = b"svc_core/seal-stored-bundle/v1"
"""A service bundle at rest, under a KEM secret; parts: service, instance."""
SEAL_WRAPPED: Final = b"svc_core/seal-wrapped/v1"
"""What the authority keeps at rest, under a key that OpenBao has wrapped; part: the wrapped key."""
