"""The operator's list of Metadata's identities: what is added, what is removed, what is not."""

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from console.main import app
from devstack.identities import (
    IdentityTakenError,
    LastIdentityError,
    NoListError,
    NoSuchIdentityError,
    add_identity,
    ensure_pinned_identities,
    instance_in,
    read_list,
    remove_identity,
)
from devstack.layout import Layout
from services.metadata.config import MetadataSettings
from svc_core.adapters.pinned import read_audit_identities, read_pinned_identities
from svc_core.config import ServiceSettings, TrustSettings
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError
from svc_core.settings_loader import load_settings
from svc_core.wire.identities import SignedIdentities, encode


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    ensure_pinned_identities(made)
    return made


def trust(layout: Layout) -> TrustSettings:
    return TrustSettings(
        operator_key_file=layout.operator_key, metadata_identities_file=layout.metadata_identities
    )


def ids(signed: SignedIdentities) -> list[str]:
    return [identity.id for identity in signed.identities]


def public_of(seed: Path) -> bytes:
    return Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed.read_bytes())).public


def test_an_added_identity_is_listed_and_its_seed_is_where_its_replica_has_it(
    layout: Layout,
) -> None:
    before = read_list(layout)

    after = add_identity(layout, "metadata-2")

    assert (before.version, after.version) == (1, 2)
    assert ids(after) == ["metadata-1", "metadata-2"]
    assert read_list(layout) == after
    seed = layout.service("metadata-2") / "state" / "identity.seed"
    assert public_of(seed) == after.identities[1].public
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    assert stat.S_IMODE(layout.metadata_identities.stat().st_mode) == 0o644


def test_a_replica_takes_the_added_identity_in_place_of_its_own(layout: Layout) -> None:
    state = layout.service("metadata") / "state"
    before = (state / "identity.seed").read_bytes()

    after = add_identity(layout, "metadata-2", replica="metadata")

    assert public_of(state / "identity.seed") == after.identities[1].public
    assert (state / "identity.seed.former").read_bytes() == before
    assert instance_in(layout, "metadata") == "metadata-2"
    ensure_pinned_identities(layout)
    assert read_list(layout) == after


def test_who_is_removed_is_a_former_one_and_good_for_the_audit_log_alone(layout: Layout) -> None:
    add_identity(layout, "metadata-2", replica="metadata")

    after = remove_identity(layout, "metadata-1")

    assert (after.version, ids(after)) == (3, ["metadata-2"])
    assert [i.id for i in after.former] == ["metadata-1"]
    assert [i.id for i in read_pinned_identities(trust(layout))] == ["metadata-2"]
    assert [i.id for i in read_audit_identities(trust(layout))] == ["metadata-2", "metadata-1"]


def test_who_was_removed_does_not_come_back_by_setting_up_again(layout: Layout) -> None:
    add_identity(layout, "metadata-2")
    after = remove_identity(layout, "metadata-1")

    ensure_pinned_identities(layout, replicas=2)

    assert read_list(layout) == after


def test_a_list_of_before_there_were_versions_is_followed_by_version_1(layout: Layout) -> None:
    listed = read_list(layout).identities
    operator = Signer.from_seed(
        Algorithm.ML_DSA_87, SecretBytes((layout.operator / "identity.seed").read_bytes())
    )
    unsigned = SignedIdentities(listed, b"")
    signature = operator.sign(unsigned.signing_input, context=b"svc_core/identity-list/v1")
    layout.metadata_identities.write_bytes(encode(SignedIdentities(listed, signature)))

    assert read_list(layout).version == 0
    assert add_identity(layout, "metadata-2").version == 1


def test_the_oldest_former_identities_are_forgotten(layout: Layout) -> None:
    for number in range(2, 12):
        add_identity(layout, f"metadata-{number}")
        remove_identity(layout, f"metadata-{number - 1}")

    former = [i.id for i in read_list(layout).former]
    assert former == [f"metadata-{number}" for number in range(3, 11)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda lay: remove_identity(lay, "metadata-1"), LastIdentityError, id="last"),
        pytest.param(lambda lay: remove_identity(lay, "metadata-9"), NoSuchIdentityError, id="no"),
        pytest.param(lambda lay: add_identity(lay, "metadata-1"), IdentityTakenError, id="taken"),
        pytest.param(lambda lay: add_identity(lay, "gatekeeper"), ConfigError, id="a service"),
        pytest.param(lambda lay: add_identity(lay, "metadata-../x"), ConfigError, id="a path"),
        pytest.param(
            lambda lay: add_identity(lay, "metadata-2", replica="watcher"),
            ConfigError,
            id="another service's",
        ),
    ],
)
def test_what_must_not_be_changes_nothing(
    layout: Layout, change: Callable[[Layout], object], error: type[ConfigError]
) -> None:
    before = layout.metadata_identities.read_bytes()

    with pytest.raises(error):
        change(layout)

    assert layout.metadata_identities.read_bytes() == before


def test_a_former_name_is_never_used_again(layout: Layout) -> None:
    add_identity(layout, "metadata-2")
    remove_identity(layout, "metadata-1")

    with pytest.raises(IdentityTakenError):
        add_identity(layout, "metadata-1")


def test_a_list_of_another_operator_is_not_signed_over(layout: Layout) -> None:
    (layout.operator / "identity.seed").write_bytes(b"x" * 32)

    with pytest.raises(NoListError):
        add_identity(layout, "metadata-2")


def test_the_command_lists_adds_and_removes(layout: Layout) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["identities", *arguments, "--var", str(layout.root)])
        return result.exit_code, result.stdout

    code, _ = run("add", "metadata-2")
    _, shown = run("list", "--json")
    removed, text = run("remove", "metadata-1")
    last, _ = run("remove", "metadata-2")

    assert (code, removed, last) == (0, 0, 2)
    assert [i["id"] for i in json.loads(shown)["identities"]] == ["metadata-1", "metadata-2"]
    assert text.splitlines()[0] == "version 3"
    assert text.splitlines()[1].startswith("signs    metadata-2  ML-DSA-87  sha256:")
    assert text.splitlines()[2].startswith("former   metadata-1  ")


def test_metadatas_identity_has_no_age() -> None:
    taken = MetadataSettings.model_fields["identity_max_age"].default
    assert taken is None
    assert ServiceSettings.model_fields["identity_max_age"].default == timedelta(days=30)


def test_an_age_for_metadatas_identity_is_refused_with_what_to_use_instead(
    layout: Layout,
) -> None:
    file = layout.root / "config.yaml"
    file.write_text("identity_max_age: 30d\n")

    with pytest.raises(ConfigError, match="securetransport identities"):
        load_settings(MetadataSettings, config_file=file, environ={})
