"""What is pinned out of band: the operator's key, and Metadata's keys in a list it signed.

Metadata's seed is provisioned from the operator's side, since its public half must be in that
list before Metadata first starts. Every list that is written is one version above the one before.
"""

import base64
import os
from pathlib import Path
from typing import Final

from devstack.layout import Layout, metadata_replicas
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.crypto.contexts import IDENTITY_LIST
from svc_core.crypto.signing import SEED_SIZE, Algorithm, Signer, Verifier
from svc_core.domain.identity import METADATA, instance_name
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError, RejectedError
from svc_core.wire.identities import (
    MOST_FORMER,
    PublicIdentity,
    SignedIdentities,
    decode,
    encode,
    signing_input,
)

METADATA_INSTANCE: Final = "metadata-1"
"""Instance of the first replica; the others are called like their directories."""
_ALGORITHM: Final = Algorithm.ML_DSA_87
_SEED_FILE: Final = "identity.seed"
_NAME_FILE: Final = "instance"
_ASIDE: Final = "identity.seed.former"


class NoSuchIdentityError(ConfigError):
    """The list does not name this identity."""

    code = "identities.unknown"
    advice = "`securetransport identities list` says which there are"


class IdentityTakenError(ConfigError):
    """An identity of this name is listed, or was once: a name never stands for two keys."""

    code = "identities.taken"
    advice = "choose a name that was never used"


class LastIdentityError(ConfigError):
    """Without any identity nothing that Metadata says would be believed."""

    code = "identities.last"
    advice = "add another identity first, and have Metadata run under it"


class NoListError(ConfigError):
    """There is no list, or the operator whose key is here did not sign it."""

    code = "identities.no_list"
    advice = "name the directory that holds `operator/` and `pinned/` with --var"


def ensure_pinned_identities(layout: Layout, *, replicas: int = 1) -> None:
    """Make the operator's and Metadata's identities where absent, and the list that pins them.

    What was removed from the list does not come back into it.

    Args:
        layout: where they go.
        replicas: how many of Metadata there are at least; a list that has more keeps them.
    """
    operator = _signer(make_private_directory(layout.operator) / _SEED_FILE)
    wanted = tuple(_replica(layout, name) for name in metadata_replicas(replicas))
    layout.pinned.mkdir(parents=True, exist_ok=True)
    _write_public(layout.operator_key, base64.b64encode(operator.public) + b"\n")
    try:
        present = _read_list(layout, operator)
    except NoListError:
        _write_list(layout, operator, wanted)
        return
    gone = {identity.id for identity in present.former}
    lacking = {i.id: i for i in wanted if i not in present.identities and i.id not in gone}
    if lacking:
        kept = tuple(i for i in present.identities if i.id not in lacking)
        _write_list(layout, operator, (*kept, *lacking.values()), after=present)


def read_list(layout: Layout) -> SignedIdentities:
    """Return the list in ``layout``, verified.

    Raises:
        NoListError: there is none, or it is not the operator's.
    """
    return _read_list(layout, _operator(layout))


def add_identity(layout: Layout, instance: str, *, replica: str = "") -> SignedIdentities:
    """Make an identity for a replica of Metadata and return the list that names it, too.

    Its seed and its name go where that replica has its state, and count from its next start. The
    seed that was there is put aside. The list is written first: a listed key that nobody has harms
    nobody, while a replica with a key that is not listed does not start.

    Args:
        layout: where the list and the operator's key are.
        instance: its name; ``metadata-`` and more.
        replica: directory of the replica, as ``metadata``; without one it is called like the
            identity.

    Raises:
        NoListError: as `read_list` does.
        IdentityTakenError: the name is, or was, that of another.
        ConfigError: it is no name of a replica of Metadata.
    """
    operator = _operator(layout)
    present = _read_list(layout, operator)
    _check_name(instance)
    if instance in {i.id for i in (*present.identities, *present.former)}:
        raise IdentityTakenError(f"{instance!r} is the name of an identity already")
    if replica:
        _check_name(replica)
    seed = os.urandom(SEED_SIZE)
    public = Signer.from_seed(_ALGORITHM, SecretBytes(seed)).public
    made = PublicIdentity(instance, _ALGORITHM, public)
    signed = _write_list(layout, operator, (*present.identities, made), after=present)
    _hand_over(layout, replica or instance, instance, seed)
    return signed


def remove_identity(layout: Layout, instance: str) -> SignedIdentities:
    """Return the list without one identity, which counts as a former one from then on.

    Of more than eight former ones the oldest is forgotten.

    Raises:
        NoListError: as `read_list` does.
        NoSuchIdentityError: it is not listed.
        LastIdentityError: no other one is.
    """
    operator = _operator(layout)
    present = _read_list(layout, operator)
    kept = tuple(i for i in present.identities if i.id != instance)
    removed = tuple(i for i in present.identities if i.id == instance)
    if not removed:
        raise NoSuchIdentityError(f"{instance!r} is not listed")
    if not kept:
        raise LastIdentityError(f"{instance!r} is the only identity listed")
    former = (*present.former, *removed)[-MOST_FORMER:]
    return _write_list(layout, operator, kept, former=former, after=present)


def instance_of(replica: str) -> str:
    """Return the instance name of one replica of Metadata, as its first list has it."""
    return METADATA_INSTANCE if replica == METADATA else replica


def instance_in(layout: Layout, replica: str) -> str:
    """Return the instance name of one replica of Metadata as its state directory has it now."""
    try:
        return instance_name((_state(layout, replica) / _NAME_FILE).read_text().strip())
    except FileNotFoundError:
        return instance_of(replica)
    except ValueError as err:
        raise ConfigError(f"{_state(layout, replica)} holds a damaged name: {err}") from err


def _replica(layout: Layout, name: str) -> PublicIdentity:
    return _identity(layout, name, instance_in(layout, name))


def _identity(layout: Layout, replica: str, instance: str) -> PublicIdentity:
    make_private_directory(layout.service(replica))
    state = make_private_directory(_state(layout, replica))
    public = _signer(state / _SEED_FILE).public
    if not (state / _NAME_FILE).exists():
        write_private(state / _NAME_FILE, instance.encode())
    return PublicIdentity(instance, _ALGORITHM, public)


def _hand_over(layout: Layout, replica: str, instance: str, seed: bytes) -> None:
    make_private_directory(layout.service(replica))
    state = make_private_directory(_state(layout, replica))
    if (state / _SEED_FILE).exists():
        (state / _SEED_FILE).replace(state / _ASIDE)
    write_private(state / _NAME_FILE, instance.encode())
    write_private(state / _SEED_FILE, seed)


def _state(layout: Layout, replica: str) -> Path:
    return layout.service(replica) / "state"


def _check_name(instance: str) -> None:
    try:
        name = str(instance_name(instance))
    except ValueError as err:
        raise ConfigError(f"{instance!r} is no name of an instance: {err}") from err
    # It is a directory, too, beside those of the services.
    if name != METADATA and not name.startswith(f"{METADATA}-"):
        raise ConfigError(f"{instance!r} does not begin with {METADATA}-")


def _operator(layout: Layout) -> Signer:
    path = layout.operator / _SEED_FILE
    if not path.exists():
        raise NoListError(f"there is no operator's key at {path}")
    return _signer(path)


def _signer(path: Path) -> Signer:
    if not path.exists():
        write_private(path, os.urandom(SEED_SIZE))
    return Signer.from_seed(_ALGORITHM, SecretBytes(path.read_bytes()))


def _read_list(layout: Layout, operator: Signer) -> SignedIdentities:
    try:
        signed = decode(layout.metadata_identities.read_bytes())
        verifier = Verifier.from_public(_ALGORITHM, operator.public)
        verifier.verify(signed.signature, signed.signing_input, context=IDENTITY_LIST)
    except (FileNotFoundError, RejectedError) as err:
        raise NoListError(f"{layout.metadata_identities} is no list of this operator") from err
    return signed


def _write_list(
    layout: Layout,
    operator: Signer,
    listed: tuple[PublicIdentity, ...],
    *,
    former: tuple[PublicIdentity, ...] | None = None,
    after: SignedIdentities | None = None,
) -> SignedIdentities:
    version = 1 if after is None else after.version + 1
    if former is None:
        former = () if after is None else after.former
    covered = signing_input(listed, version=version, former=former)
    signature = operator.sign(covered, context=IDENTITY_LIST)
    signed = SignedIdentities(listed, signature, version, former)
    _write_public(layout.metadata_identities, encode(signed))
    return signed


def _write_public(path: Path, content: bytes) -> None:
    write_private(path, content)
    path.chmod(0o644)
