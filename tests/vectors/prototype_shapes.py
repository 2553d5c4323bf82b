"""The prototype's eleven records as lists of fields, apart from the schemas that ship."""

import re
from typing import Any

SHAPES = {
    "SignedMessage": """messageId string; messageType string; caEpoch long; keyEpoch long;
        signerServiceId string; signerKeyId long; timestamp string; signature bytes;
        topicName string; encryptKeyId string; payloadType string; payload bytes""",
    "KyberExchangeMessage": """secretKeyId string; sourceSvcId string; targetSvcId string;
        eventType string; publicKey bytes; encapsulation bytes|null; createTime string;
        expiryTime string; additionalData null|bytes""",
    "ServiceBundle": """serviceId string; version string; keyEpoch long; updateType string;
        createdAt string; status string; signingKeys map<bytes>; verifyKeys map<map<bytes>>;
        topicKeys map<map<bytes>>; topicPermissions map<TopicPermissionRecord>""",
    "TopicPermissionRecord": """topicName string; producePermission boolean;
        consumePermission boolean""",
    "DilithiumKey": """keyId string; serviceId string; publicKeyBytes bytes;
        privateKeyBytes bytes|null; epochNumber long; createTime string; expiryTime string;
        metadataKeyId string|null; metadataSignature bytes|null""",
    "TopicKey": """keyId string; topicName string; epochNumber long; algorithm string;
        keyData bytes; createdTime string; expiryTime string; role null|string""",
    "CaBundleMessage": """serverId string; timestamp string; caEpochNumber long;
        eventType string; caBundle string; caVersion string""",
    "SharedSecretInfo": """keyId string; sourceSvcId string; targetSvcId string;
        publicKey bytes; sharedSecret bytes; createTime string; expiryTime string""",
    "ServicesACLMatrix": "serviceTopicPermissions map<map<array<string>>>",
    "CertificateMessage": """msgId string; timestamp long; eventType string; serviceId string;
        caCert string; tlsCert string""",
    "AuthenticationRequest": "userId string; pwdHash string; otp string|null",
    "AuthenticationResponse": """Oid string; UserToken string; PasswordHash string;
        IdentityToken string; IdentitySymmKey bytes; IdentityIVSpec bytes;
        AuthorizationToken string; AuthorizationSymmKey bytes; AuthorizationIVSpec bytes;
        AccountStatus string; MemberLevelCode string""",
}
NAMESPACES = {
    "SignedMessage": "core.transport",
    "KyberExchangeMessage": "svc.model",
    "ServiceBundle": "core.model",
    "DilithiumKey": "svc.model",
    "TopicKey": "core.model.service",
    "CaBundleMessage": "core.model",
    "SharedSecretInfo": "svc.model",
    "ServicesACLMatrix": "acl",
    "CertificateMessage": "svc.model",
    "AuthenticationRequest": "core.model",
    "AuthenticationResponse": "core.model",
}


def schema(name: str) -> dict[str, Any]:
    """Return the record called ``name`` as an Avro schema without defaults."""
    pairs = (pair.split() for pair in SHAPES[name].split(";"))
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": _type(text)} for field, text in pairs],
    }


def _type(text: str) -> Any:
    if match := re.fullmatch(r"(map|array)<(.*)>", text):
        container, inner = match.groups()
        return {"type": container, "values" if container == "map" else "items": _type(inner)}
    if "|" in text:
        return text.split("|")
    return schema(text) if text in SHAPES else text
