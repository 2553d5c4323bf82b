"""Records of the prototype: the same names, order and types, and read for inspection only."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import MalformedMessageError
from svc_core.wire import prototype
from svc_core.wire.prototype import Kind
from svc_core.wire.records import schema_text
from tests.vectors import avro_by_hand, prototype_shapes, vector_files
from tests.vectors.prototype_values import PROTOTYPE
from tests.vectors.wire_codecs import CODECS, RECORDS

FILES = {
    Kind.SIGNED_MESSAGE: "signed_message",
    Kind.KYBER_EXCHANGE_MESSAGE: "kyber_exchange_message",
    Kind.SERVICE_BUNDLE: "service_bundle",
    Kind.DILITHIUM_KEY: "dilithium_key",
    Kind.TOPIC_KEY: "topic_key",
    Kind.CA_BUNDLE_MESSAGE: "ca_bundle",
    Kind.SHARED_SECRET_INFO: "shared_secret_info",
    Kind.SERVICES_ACL_MATRIX: "services_acl_matrix",
    Kind.CERTIFICATE_MESSAGE: "certificate_message",
    Kind.AUTHENTICATION_REQUEST: "authentication_request",
    Kind.AUTHENTICATION_RESPONSE: "authentication_response",
}
ADDED = {
    Kind.SIGNED_MESSAGE: ["algorithm", "batchProof"],
    Kind.SERVICE_BUNDLE: ["producers", "profile", "expiresAt"],
    Kind.DILITHIUM_KEY: ["algorithm"],
}
SECRET = {
    Kind.SERVICE_BUNDLE: ["signingKeys", "topicKeys"],
    Kind.DILITHIUM_KEY: ["privateKeyBytes"],
    Kind.TOPIC_KEY: ["keyData"],
    Kind.SHARED_SECRET_INFO: ["sharedSecret"],
    Kind.AUTHENTICATION_RESPONSE: ["IdentitySymmKey", "AuthorizationSymmKey"],
}
every_kind = pytest.mark.parametrize("kind", Kind)


def raw_of(kind: Kind) -> bytes:
    return vector_files.load(f"prototype_{kind.name.lower()}").raw


def without_defaults(shape: Any) -> Any:
    """Return a schema with what says how bytes look, and nothing else."""
    if isinstance(shape, list):
        return [without_defaults(part) for part in shape]
    if isinstance(shape, dict):
        return {
            k: without_defaults(v) for k, v in shape.items() if k not in {"default", "namespace"}
        }
    return shape


@every_kind
def test_a_schema_begins_with_the_prototypes_fields(kind: Kind) -> None:
    shipped, wanted = schema_text(FILES[kind]), prototype_shapes.schema(kind)
    count = len(wanted["fields"])

    assert (shipped["name"], shipped["namespace"]) == (kind, prototype_shapes.NAMESPACES[kind])
    assert without_defaults(shipped["fields"][:count]) == wanted["fields"]
    assert [field["name"] for field in shipped["fields"][count:]] == ADDED.get(kind, [])


@pytest.mark.parametrize(
    ("file", "name", "default"),
    [
        ("kyber_exchange_message", "additionalData", None),
        ("service_bundle", "status", "current"),
        ("topic_key", "role", None),
    ],
)
def test_the_prototypes_defaults_are_kept(file: str, name: str, default: object) -> None:
    fields = {field["name"]: field for field in schema_text(file)["fields"]}

    assert fields[name]["default"] == default


@pytest.mark.parametrize("file", ["service_bundle", "dilithium_key"])
def test_what_was_added_has_defaults(file: str) -> None:
    kind = {name: kind for kind, name in FILES.items()}[file]
    added = [f for f in schema_text(file)["fields"] if f["name"] in ADDED[kind]]

    assert [field["name"] for field in added if "default" not in field] == []


@every_kind
def test_a_second_record_behind_the_first_is_an_error(kind: Kind) -> None:
    with pytest.raises(MalformedMessageError):
        prototype.decode(raw_of(kind) * 2, kind=kind)


@every_kind
def test_what_is_inspected_cannot_be_changed_or_printed(kind: Kind) -> None:
    inspected = prototype.decode(raw_of(kind), kind=kind)
    fields: Any = inspected.fields

    with pytest.raises(TypeError):
        fields["more"] = 1
    assert repr(inspected) == f"Inspected(kind=<Kind.{kind.name}: '{kind}'>)"


@every_kind
def test_key_material_does_not_print_itself(kind: Kind) -> None:
    fields = prototype.decode(raw_of(kind), kind=kind).fields

    hidden = [name for name, value in fields.items() if holds_secret(value)]

    assert hidden == SECRET.get(kind, [])


def holds_secret(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(holds_secret(item) for item in value.values())
    return isinstance(value, SecretBytes)


def test_lists_and_maps_within_are_read_only_too() -> None:
    kind = Kind.SERVICES_ACL_MATRIX
    matrix: Any = prototype.decode(raw_of(kind), kind=kind).fields["serviceTopicPermissions"]

    with pytest.raises(TypeError):
        matrix["gatekeeper"]["more"] = ()
    assert matrix["gatekeeper"]["auth.both"] == ("produce", "consume")


@every_kind
@pytest.mark.parametrize("name", RECORDS)
def test_a_tagged_record_is_not_taken_for_the_prototypes(kind: Kind, name: str) -> None:
    vectors = [vector_files.load(found) for found in vector_files.names()]
    raw = next(v.raw for v in vectors if v.codec == name and not v.of_prototype)

    with pytest.raises(MalformedMessageError):
        prototype.decode(raw, kind=kind)


@every_kind
@pytest.mark.parametrize("name", RECORDS)
def test_the_prototypes_record_is_taken_by_no_decoder_of_ours(kind: Kind, name: str) -> None:
    with pytest.raises(MalformedMessageError):
        CODECS[name].decode(raw_of(kind))


def test_maps_of_the_prototype_have_any_order() -> None:
    kind = Kind.SERVICE_BUNDLE
    turned = {**PROTOTYPE[kind], "signingKeys": {"1": b"", "3": b"", "2": b""}}
    raw = avro_by_hand.write(prototype_shapes.schema(kind), turned, ordered=False)

    keys: Any = prototype.decode(raw, kind=kind).fields["signingKeys"]

    assert list(keys) == ["1", "3", "2"]


def test_maps_of_the_prototype_name_no_key_twice() -> None:
    raw = raw_of(Kind.SERVICE_BUNDLE)
    twice = raw.replace(b"1942001", b"1942000")

    assert twice != raw
    with pytest.raises(MalformedMessageError):
        prototype.decode(twice, kind=Kind.SERVICE_BUNDLE)


def test_nested_keys_are_inspected_by_their_own_kind() -> None:
    shape = prototype_shapes.schema(Kind.SERVICE_BUNDLE)
    nested = {"1942000": raw_of(Kind.DILITHIUM_KEY)}
    raw = avro_by_hand.write(shape, {**PROTOTYPE[Kind.SERVICE_BUNDLE], "signingKeys": nested})

    keys: Any = prototype.decode(raw, kind=Kind.SERVICE_BUNDLE).fields["signingKeys"]
    inner = prototype.decode(keys["1942000"].reveal(), kind=Kind.DILITHIUM_KEY)

    assert inner.fields["keyId"] == "1942000"


def imported(path: Path) -> set[str]:
    """Return the full names of what the module at ``path`` imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_nothing_that_runs_reads_records_of_the_prototype() -> None:
    root = Path(prototype.__file__).parents[3]
    sources = [path for folder in ("libs", "services") for path in (root / folder).rglob("*.py")]

    readers = [path.name for path in sources if "svc_core.wire.prototype" in imported(path)]

    assert len(sources) > 100
    assert readers == []
    assert "svc_core.wire.prototype" in imported(Path(__file__))
