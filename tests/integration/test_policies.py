"""Who may do what in OpenBao: one readable table, tried verb by verb against the real server.

Letters: ``c`` create, ``u`` update, ``r`` read, ``l`` list, ``d`` delete; ``-`` nothing at all. On
paths that hold no documents of ours OpenBao knows no create, so ``u`` is simply a POST. A path that
ends in ``/`` is a folder, which can only be listed. Everything that is not allowed must be answered
with 403 (or 405, where OpenBao has no such verb), and what is allowed with anything else. The two
rows that allow everybody the same are what OpenBao answers without a token, too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from devstack.bootstrap import log_in
from devstack.openbao_api import OpenBaoApi
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER
from svc_core.errors import AccessDeniedError, RequestRefusedError, SvcError
from tests.integration.background import complete, in_background
from tests.integration.bare_stack import RunningOpenBao, make_intermediate, open_bare_openbao

OPERATOR: Final = "operator"
ROLES: Final = (METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER, OPERATOR)
SERVICES: Final = (METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER)
KEYED: Final = (GATEKEEPER, AUTHCONTROLLER)
"""Those that have keys, and so are sent bundles."""
ISSUER: Final = "ca-1-1"
THERE: Final = "there"
"""Name of the entry that exists already in every folder of documents."""

TABLE: Final = """
path                                             metadata  watcher  gatekeeper  authcontroller  operator

pki/cert/ca                                      rl        rl       rl          rl              rl
pki/root                                         -         -        -           -               -
pki/root/sign-intermediate                       -         -        -           -               -
pki/root/sign-self-issued                        -         -        -           -               -
pki/root/generate/internal                       -         -        -           -               -
pki/roles/any                                    -         -        -           -               -
pki/issue/any                                    -         -        -           -               -
pki/config/issuers                               -         -        -           -               -
pki/config/urls                                  -         -        -           -               -
pki/keys                                         -         -        -           -               -
pki/keys/import                                  -         -        -           -               -
pki/issuers/import/bundle                        -         -        -           -               -
pki/issuers/generate/root/internal               u         -        -           -               -
pki/issuers/generate/root/exported               -         -        -           -               -
pki/issuers/generate/root/existing               u         -        -           -               -
pki/issuers/generate/root/kms                    -         -        -           -               -
pki/root/replace                                 -         -        -           -               -
pki/root/rotate/internal                         -         -        -           -               -
pki/issuer/gone                                  rd        -        -           -               -
pki/issuer/root/sign-intermediate                u         -        -           -               -
pki/issuer/root/sign-self-issued                 -         -        -           -               -
pki/issuer/root/sign-verbatim                    -         -        -           -               -
pki/issuer/root/issue/any                        -         -        -           -               -
pki/issuer/root/sign/any                         -         -        -           -               -
pki/issuer/root/revoke                           -         -        -           -               -
pki/key/gone                                     rd        -        -           -               -
pki/keys/generate/internal                       -         -        -           -               -
pki/config/keys                                  -         -        -           -               -
pki/tidy                                         -         -        -           -               -

{int}/intermediate/generate/internal             u         -        -           -               -
{int}/intermediate/generate/exported             -         -        -           -               -
{int}/issuers/generate/intermediate/existing     u         -        -           -               -
{int}/intermediate/set-signed                    u         -        -           -               -
{int}/issuers/import/cert                        -         -        -           -               -
{int}/issuers/import/bundle                      -         -        -           -               -
{int}/issuers                                    l         l        l           l               l
{int}/issuer/gone                                urd       -        -           -               -
{int}/keys                                       l         -        -           -               -
{int}/key/gone                                   rd        -        -           -               -
{int}/keys/import                                -         -        -           -               -
{int}/config/issuers                             -         -        -           -               -
{int}/config/keys                                -         -        -           -               -
{int}/config/crl                                 -         -        -           -               -
{int}/roles                                      -         -        -           -               -
{int}/roles/any                                  -         -        -           -               -
{int}/issue/gatekeeper                           -         -        -           -               -
{int}/sign/gatekeeper                            -         -        -           -               -
{int}/sign-verbatim                              -         -        -           -               -
{int}/issuer/ca-1-1/sign-verbatim                -         -        -           -               -
{int}/issuer/ca-1-1/sign-intermediate            -         -        -           -               -
{int}/issuer/ca-1-1/issue/gatekeeper             -         -        -           -               -
{int}/issuer/ca-1-1/revoke                       -         -        -           -               -
{int}/revoke                                     -         -        -           -               -
{int}/tidy                                       -         -        -           -               -
{int}/root                                       -         -        -           -               -

nats_int/issuer/ca-1-1/sign/metadata             u         -        -           -               -
nats_int/issuer/ca-1-1/sign/metadata-admin       u         -        -           -               -
nats_int/issuer/ca-1-1/sign/watcher              -         u        -           -               -
nats_int/issuer/ca-1-1/sign/watcher-admin        -         u        -           -               -
nats_int/issuer/ca-1-1/sign/watcher-sys          -         u        -           -               -
nats_int/issuer/ca-1-1/sign/nats-server          -         u        -           -               -
nats_int/issuer/ca-1-1/sign/canary               u         u        -           -               -
nats_int/issuer/ca-1-1/sign/gatekeeper           -         -        u           -               -
nats_int/issuer/ca-1-1/sign/gatekeeper-admin     -         -        u           -               -
nats_int/issuer/ca-1-1/sign/authcontroller       -         -        -           u               -
nats_int/issuer/ca-1-1/sign/authcontroller-admin -         -        -           u               -
nats_int/issuer/ca-1-1/sign/operator             -         -        -           -               u
nats_int/issuer/ca-1-1/sign/nats-route           -         -        -           -               -
nats_route/issuer/ca-1-1/sign/nats-route         -         u        -           -               -
nats_route/issuer/ca-1-1/sign/watcher            -         -        -           -               -

secret/data/transport/desired                    ur        r        r           r               r
secret/data/transport/journal                    ur        -        -           -               r
secret/data/transport/outlook                    ur        -        -           -               r
secret/data/transport/key-ledger                 ur        -        -           -               r
secret/data/transport/rights                     ur        -        -           -               r
secret/data/transport/rights.parts/*             cur       -        -           -               r
secret/data/transport/commands/*                 cur       -        -           -               r
secret/data/transport/keys/*                     cur       -        -           -               -
secret/data/transport/keys/there.parts/*         cur       -        -           -               -
secret/data/transport/audit/*                    cr        -        -           -               r
secret/metadata/transport/desired                r         -        -           -               rl
secret/metadata/transport/journal                r         -        -           -               rl
secret/metadata/transport/rights                 r         -        -           -               rl
secret/metadata/transport/rights.parts/*         rld       -        -           -               rl
secret/metadata/transport/commands/*             rld       -        -           -               rl
secret/metadata/transport/keys/*                 rld       -        -           -               rl
secret/metadata/transport/keys/there.parts/*     rld       -        -           -               rl
secret/metadata/transport/audit/*                rld       -        -           -               rl
secret/metadata/transport/                       l         -        -           -               l
secret/metadata/transport/keys/                  l         -        -           -               l
secret/delete/transport/desired                  -         -        -           -               -
secret/destroy/transport/journal                 -         -        -           -               -
secret/undelete/transport/keys/there             -         -        -           -               -

secret/data/identities/metadata/*                cr        -        -           -               -
secret/data/identities/watcher/*                 r         cr       -           -               -
secret/data/identities/gatekeeper/*              r         -        cr          -               -
secret/data/identities/authcontroller/*          r         -        -           cr              -
secret/metadata/identities/                      l         -        -           -               -
secret/metadata/identities/gatekeeper/           l         -        -           -               -
secret/metadata/identities/gatekeeper/*          rld       -        -           -               -

secret/data/kem/metadata/*                       r         -        -           -               -
secret/data/kem/watcher/*                        r         -        -           -               -
secret/data/kem/gatekeeper/*                     r         -        cr          -               -
secret/data/kem/authcontroller/*                 r         -        -           cr              -
secret/metadata/kem/                             l         -        -           -               -
secret/metadata/kem/gatekeeper/                  l         -        -           -               -
secret/metadata/kem/gatekeeper/*                 rld       -        -           -               -

secret/data/bundles/watcher/*                    cur       -        -           -               -
secret/data/bundles/gatekeeper/*                 cur       -        r           -               -
secret/data/bundles/gatekeeper/there.parts/*     cur       -        r           -               -
secret/data/bundles/authcontroller/*             cur       -        -           r               -
secret/metadata/bundles/                         l         -        -           -               -
secret/metadata/bundles/gatekeeper/              l         -        -           -               -
secret/metadata/bundles/gatekeeper/*             rld       -        -           -               -

secret/data/claims/metadata/*                    cur       -        -           -               -
secret/data/claims/watcher/*                     r         cur      -           -               -
secret/data/claims/gatekeeper/*                  r         -        cur         -               -
secret/data/claims/authcontroller/*              r         -        -           cur             -
secret/metadata/claims/                          l         -        -           -               -
secret/metadata/claims/gatekeeper/               l         -        -           -               -
secret/metadata/claims/gatekeeper/*              rld       -        -           -               -

secret/data/commands/*                           r         -        -           -               c
secret/metadata/commands/                        l         -        -           -               -
secret/metadata/commands/*                       rld       -        -           -               -
secret/data/other/*                              -         -        -           -               -
secret/metadata/                                 -         -        -           -               -
secret/config                                    -         -        -           -               -

transit/encrypt/bundle-master                    u         -        -           -               -
transit/decrypt/bundle-master                    u         -        -           -               -
transit/rewrap/bundle-master                     -         -        -           -               -
transit/datakey/plaintext/bundle-master          -         -        -           -               -
transit/export/encryption-key/bundle-master      -         -        -           -               -
transit/backup/bundle-master                     -         -        -           -               -
transit/keys                                     -         -        -           -               -
transit/keys/bundle-master                       -         -        -           -               -
transit/keys/bundle-master/rotate                -         -        -           -               -
transit/keys/bundle-master/config                -         -        -           -               -
transit/encrypt/another                          -         -        -           -               -

{role:metadata}/secret-id                        ul        -        -           -               -
{role:metadata}/secret-id/lookup                 u         -        -           -               -
{role:metadata}/secret-id-accessor/lookup        u         -        -           -               -
{role:metadata}/secret-id-accessor/destroy       u         -        -           -               -
{role:watcher}/secret-id                         l         u        -           -               -
{role:watcher}/secret-id/lookup                  -         u        -           -               -
{role:watcher}/secret-id-accessor/lookup         u         -        -           -               -
{role:watcher}/secret-id-accessor/destroy        u         u        -           -               -
{role:gatekeeper}/secret-id                      l         -        u           -               -
{role:gatekeeper}/secret-id/lookup               -         -        u           -               -
{role:gatekeeper}/secret-id-accessor/lookup      u         -        -           -               -
{role:gatekeeper}/secret-id-accessor/destroy     u         -        u           -               -
{role:authcontroller}/secret-id                  l         -        -           u               -
{role:authcontroller}/secret-id/lookup           -         -        -           u               -
{role:authcontroller}/secret-id-accessor/lookup  u         -        -           -               -
{role:authcontroller}/secret-id-accessor/destroy u         -        -           u               -
{role:operator}/secret-id                        -         -        -           -               -
{role:operator}/secret-id/lookup                 -         -        -           -               -
{role:operator}/secret-id-accessor/lookup        -         -        -           -               -
{role:operator}/secret-id-accessor/destroy       -         -        -           -               -
{role:gatekeeper}                                -         -        -           -               -
{role:gatekeeper}/role-id                        -         -        -           -               -
{role:gatekeeper}/policies                       -         -        -           -               -
{role:gatekeeper}/token-policies                 -         -        -           -               -
{role:gatekeeper}/secret-id-ttl                  -         -        -           -               -
{role:gatekeeper}/secret-id/destroy              -         -        -           -               -
{role:gatekeeper}/custom-secret-id               -         -        -           -               -
auth/approle/role                                -         -        -           -               -
auth/approle/tidy/secret-id                      -         -        -           -               -

auth/token/create                                -         -        -           -               -
auth/token/create-orphan                         -         -        -           -               -
auth/token/lookup                                -         -        -           -               -
auth/token/lookup-accessor                       u         -        -           -               -
auth/token/revoke-accessor                       u         -        -           -               -
auth/token/revoke                                -         -        -           -               -
auth/token/accessors                             l         -        -           -               -
auth/token/lookup-self                           r         r        r           r               r
auth/token/renew-self                            u         u        u           u               u

sys/policies/acl                                 -         -        -           -               -
sys/policies/acl/gatekeeper                      -         -        -           -               -
sys/mounts                                       -         -        -           -               -
sys/mounts/secret                                -         -        -           -               -
sys/mounts/secret/tune                           -         -        -           -               -
sys/auth                                         -         -        -           -               -
sys/auth/approle                                 -         -        -           -               -
sys/audit                                        -         -        -           -               -
sys/audit/file                                   -         -        -           -               -
sys/seal                                         -         -        -           -               -
sys/step-down                                    -         -        -           -               -
sys/rotate                                       -         -        -           -               -
sys/raw/core                                     -         -        -           -               -
sys/storage/raft/snapshot                        -         -        -           -               -
sys/storage/raft/configuration                   -         -        -           -               -
sys/leases/lookup                                -         -        -           -               -
sys/leases/revoke-prefix/auth                    -         -        -           -               -
sys/capabilities                                 -         -        -           -               -
sys/capabilities-self                            -         -        -           -               -
sys/wrapping/wrap                                -         -        -           -               -
sys/plugins/catalog                              -         -        -           -               -
identity/entity                                  -         -        -           -               -
cubbyhole/any                                    -         -        -           -               -

auth/token/revoke-self                           u         u        u           u               u
"""  # noqa: E501 (a table is read across)

NO_SUCH_VERB: Final = ("status 405", "unsupported operation")
METHODS: Final = {"c": "POST", "u": "POST", "r": "GET", "l": "LIST", "d": "DELETE"}
BODIES: Final[Mapping[str, Mapping[str, object]]] = {
    "secret/data/": {"data": {"public": "of a test"}},
    "/secret-id": {"metadata": '{"made_by":"rotation"}'},
    "/lookup": {"secret_id_accessor": "none"},
    "/secret-id/lookup": {"secret_id": "none"},
}
"""What a POST says, by the beginning or end of its path; the last that fits."""


def rows() -> Iterator[tuple[str, tuple[str, ...]]]:
    _, header, *lines = TABLE.splitlines()
    assert header.split()[1:] == list(ROLES)
    for line in filter(None, lines):
        path, *rights = line.split()
        if path.startswith("{role:"):
            path = path.replace("{role:", "auth/approle/role/").replace("}", "", 1)
        for mount in ("nats_int", "nats_route") if path.startswith("{int}") else ("",):
            yield path.replace("{int}", mount), tuple(rights)


def body_of(path: str) -> Mapping[str, object]:
    fitting = [body for end, body in BODIES.items() if path.startswith(end) or path.endswith(end)]
    return fitting[-1] if fitting else {}


@pytest.fixture(scope="module")
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    """An OpenBao of this module's own, with one document in every folder."""
    with in_background(lambda: open_bare_openbao(server_root / "policies")) as running:
        complete(lambda: _furnish(running))
        yield running


async def _furnish(openbao: RunningOpenBao) -> None:
    wanted = {
        METADATA: [
            "transport/desired",
            "transport/journal",
            "transport/outlook",
            *(f"transport/{kind}/{THERE}" for kind in ("keys", "audit", "commands")),
            *(f"bundles/{service}/{THERE}" for service in KEYED),
        ],
        OPERATOR: [f"commands/{THERE}"],
    }
    for service in SERVICES:
        kinds = ["identities", "claims", *(["kem"] if service in KEYED else [])]
        own = [f"{kind}/{service}/{THERE}" for kind in kinds]
        wanted[service] = wanted.get(service, []) + own
    for role, paths in wanted.items():
        async with openbao.logged_in(role) as session:
            for path in paths:
                await session.write(f"secret/data/{path}", {"data": {"by": role}})
    async with openbao.logged_in(METADATA) as metadata:
        for mount in ("nats_int", "nats_route"):
            await make_intermediate(metadata, mount, ISSUER)


async def is_allowed(session: OpenBaoApi, role: str, verb: str, path: str) -> bool:
    """Do ``verb`` for real; anything but a 403 means that the policy let it through."""
    name = THERE if verb in "ur" else f"new-{role}"
    body = body_of(path) if METHODS[verb] == "POST" else None
    try:
        await session.call(METHODS[verb], path.replace("*", name).rstrip("/"), body)
    except AccessDeniedError:
        return False
    except RequestRefusedError as err:
        return not any(text in str(err) for text in NO_SUCH_VERB)
    except SvcError:
        return True
    return True


def verbs_for(path: str) -> str:
    # What is one document cannot be created here, because it exists; elsewhere c and u are alike.
    if path.endswith("/"):
        return "l"
    return "curld" if path.endswith("*") else "urld"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(
    openbao: RunningOpenBao, role: str
) -> None:
    column = ROLES.index(role)
    expected = {path: rights[column].replace("-", "") for path, rights in rows()}

    found = {}
    async with openbao.api() as api:
        session = await log_in(api, openbao.layout, role)
        for path in expected:
            tried = [v for v in verbs_for(path) if await is_allowed(session, role, v, path)]
            found[path] = "".join(tried)

    differing = {
        path: f"may {found[path] or '-'}, should {rights or '-'}"
        for path, rights in expected.items()
        if set(found[path]) != set(rights)
    }
    assert differing == {}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="without a mark, as if the operator had provisioned it"),
        pytest.param({"metadata": '{"made_by":"operator"}'}, id="with another's mark"),
        pytest.param({"metadata": '{"made_by":"rotation"}', "ttl": "9000h"}, id="for ever"),
        pytest.param({"metadata": '{"made_by":"rotation"}', "num_uses": 1}, id="for one use"),
    ],
)
async def test_a_service_makes_itself_only_marked_secret_ids(
    openbao: RunningOpenBao, body: Mapping[str, object]
) -> None:
    async with openbao.logged_in(GATEKEEPER) as session:
        with pytest.raises(AccessDeniedError):
            await session.write(f"auth/approle/role/{GATEKEEPER}/secret-id", body)


async def test_a_service_does_not_reach_anothers_secret_id_through_its_own_path(
    openbao: RunningOpenBao,
) -> None:
    role = f"auth/approle/role/{WATCHER}"
    mark = {"metadata": '{"made_by":"rotation"}'}
    async with openbao.logged_in(WATCHER) as watcher:
        made = (await watcher.write(f"{role}/secret-id", mark))["data"]
    accessor = {"secret_id_accessor": made["secret_id_accessor"]}

    async with openbao.logged_in(GATEKEEPER) as session:
        with pytest.raises(SvcError):
            await session.write(
                f"auth/approle/role/{GATEKEEPER}/secret-id-accessor/destroy", accessor
            )

    async with openbao.logged_in(METADATA) as metadata:
        found = await metadata.write(f"{role}/secret-id-accessor/lookup", accessor)
    assert found["data"]["secret_id_accessor"] == made["secret_id_accessor"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"not_after": "2036-01-01T00:00:00Z"}, id="a date beyond its role's life"),
        pytest.param({"alt_names": "metadata"}, id="a name beside the request"),
        pytest.param({"common_name": "metadata"}, id="a common name"),
    ],
)
async def test_a_leaf_is_asked_for_by_request_and_life_only(
    openbao: RunningOpenBao, more: Mapping[str, object]
) -> None:
    async with openbao.logged_in(GATEKEEPER) as session:
        with pytest.raises(AccessDeniedError):
            await session.write(
                f"nats_int/issuer/{ISSUER}/sign/{GATEKEEPER}", {"csr": "", "ttl": "60s", **more}
            )
