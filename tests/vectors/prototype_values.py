"""Values for the prototype's records, made up after its own kind."""

from collections.abc import Mapping
from typing import Any

from tests.vectors.wire_values import drawn

PROTOTYPE: Mapping[str, Mapping[str, Any]] = {
    "SignedMessage": {
        "messageId": "gatekeeper2025-06-01T00:00:00Z",
        "messageType": "authRequest",
        "caEpoch": 1_457_000,
        "keyEpoch": 1_942_000,
        "signerServiceId": "gatekeeper",
        "signerKeyId": 1_942_000,
        "timestamp": "2025-06-01T00:00:00.123Z",
        "signature": drawn("old signature", 64),
        "topicName": "auth.auth-request",
        "encryptKeyId": "auth.auth-request-epoch-1942000",
        "payloadType": "authRequest",
        "payload": drawn("old payload", 80),
    },
    "KyberExchangeMessage": {
        "secretKeyId": "0a1b2c3d-0000-4000-8000-0123456789ab",
        "sourceSvcId": "metadata",
        "targetSvcId": "gatekeeper",
        "eventType": "KyberKeyResponse",
        "publicKey": b"MIIGsjAL",
        "encapsulation": drawn("old encapsulation", 48),
        "createTime": "2025-06-01T00:00:00Z",
        "expiryTime": "2025-06-01T03:00:00Z",
        "additionalData": drawn("old bundle", 40),
    },
    "ServiceBundle": {
        "serviceId": "gatekeeper",
        "version": "1748736000000",
        "keyEpoch": 1_942_000,
        "updateType": "initialization",
        "createdAt": "2025-06-01T00:00:00Z",
        "status": "current",
        "signingKeys": {"1942001": b"later key", "1942000": b"key"},
        "verifyKeys": {"authcontroller": {"1942000": b"public key"}},
        "topicKeys": {"gatekeeper.responder": {"gatekeeper.responder-epoch-1942000": b"topic"}},
        "topicPermissions": {
            "gatekeeper.responder": {
                "topicName": "gatekeeper.responder",
                "producePermission": False,
                "consumePermission": True,
            },
            "auth.auth-request": {
                "topicName": "auth.auth-request",
                "producePermission": True,
                "consumePermission": False,
            },
        },
    },
    "DilithiumKey": {
        "keyId": "1942000",
        "serviceId": "gatekeeper",
        "publicKeyBytes": drawn("old public", 40),
        "privateKeyBytes": drawn("old private", 48),
        "epochNumber": 1_942_000,
        "createTime": "2025-06-01T00:00:00Z",
        "expiryTime": "2025-06-01T01:00:00Z",
        "metadataKeyId": None,
        "metadataSignature": None,
    },
    "TopicKey": {
        "keyId": "auth.auth-request-epoch-1942000",
        "topicName": "auth.auth-request",
        "epochNumber": 1_942_000,
        "algorithm": "AES-256",
        "keyData": b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "createdTime": "2025-06-01T00:00:00Z",
        "expiryTime": "2025-06-01T01:00:00Z",
        "role": None,
    },
    "CaBundleMessage": {
        "serverId": "NATS",
        "timestamp": "2025-06-01T00:00:01Z",
        "caEpochNumber": 1_457_000,
        "eventType": "CaRotationEvent",
        "caBundle": "two certificates as PEM text\n",
        "caVersion": "2025-06-01T00:00:00.5Z",
    },
    "SharedSecretInfo": {
        "keyId": "0a1b2c3d-0000-4000-8000-0123456789ab",
        "sourceSvcId": "gatekeeper",
        "targetSvcId": "metadata",
        "publicKey": b"MIIGsjAL",
        "sharedSecret": drawn("old secret"),
        "createTime": "2025-06-01T00:00:00Z",
        "expiryTime": "2025-06-01T03:00:00Z",
    },
    "ServicesACLMatrix": {
        "serviceTopicPermissions": {
            "watcher": {"metadata.client.ca-cert": ["consume"]},
            "gatekeeper": {"auth.auth-request": ["produce"], "auth.both": ["produce", "consume"]},
        },
    },
    "CertificateMessage": {
        "msgId": "cert-1",
        "timestamp": 1_748_736_000_000,
        "eventType": "CertificateUpdate",
        "serviceId": "gatekeeper",
        "caCert": "authority as PEM text",
        "tlsCert": "certificate as PEM text",
    },
    "AuthenticationRequest": {"userId": "user-1", "pwdHash": "c2FsdA==:aGFzaA==", "otp": None},
    "AuthenticationResponse": {
        "Oid": "oid-1",
        "UserToken": "token",
        "PasswordHash": "hash",
        "IdentityToken": "identity",
        "IdentitySymmKey": drawn("old identity key"),
        "IdentityIVSpec": drawn("old identity iv", 16),
        "AuthorizationToken": "authorization",
        "AuthorizationSymmKey": drawn("old authorization key"),
        "AuthorizationIVSpec": drawn("old authorization iv", 16),
        "AccountStatus": "ACTIVE",
        "MemberLevelCode": "GOLD",
    },
}
"""Fields of the prototype's records, maps in an order that is not that of their keys."""
