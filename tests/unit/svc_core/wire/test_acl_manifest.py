"""The ACL manifest: what it grants, and every mistake in it with its place."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.acl import Acl
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    ServiceName,
)
from svc_core.domain.subjects import AUTH_REQUEST, CA_CERT, RESPONDER
from svc_core.wire import acl_manifest, acl_yaml
from svc_core.wire.acl_manifest import MAX_ENTRIES, MAX_ROLES, JudgedManifest, decode

SHIPPED = Path(__file__).parents[4] / "deploy" / "acl.yaml"
KNOWN = frozenset({METADATA, WATCHER, GATEKEEPER, AUTHCONTROLLER})
PROTOTYPE = b"""\
roles:
  watcher:
    publish:
      - metadata.bundle-pull.svc-metadata
      - metadata.bundle-pull.svc-tester
      - auth.tester.consumer
    subscribe:
      - metadata.bundle-pull.svc-watcher
      - metadata.bundle-push.svc-watcher
      - metadata.client.ca-cert
  metadata:
    publish:
      - metadata.bundle-pull.svc-watcher
      - metadata.bundle-pull.svc-tester
      - metadata.bundle-push.svc-watcher
      - metadata.client.ca-cert
    subscribe:
      - metadata.bundle-pull.svc-metadata
      - metadata.client.request
  tester:
    publish:
      - metadata.bundle-pull.svc-metadata
    subscribe:
      - metadata.bundle-pull.svc-tester
      - auth.tester.consumer
  authcontroller:
    publish:
      - metadata.bundle-pull.svc-metadata
      - gatekeeper.responder
    subscribe:
      - metadata.client.ca-cert
      - auth.auth-request
  gatekeeper:
    publish:
      - metadata.bundle-pull.svc-metadata
      - auth.auth-request
    subscribe:
      - metadata.client.ca-cert
      - gatekeeper.responder
  js-admin:
    publish:
      - "$JS.API.>"
      - "metadata.>"
    subscribe:
      - "$JS.API.>"
      - "$JS.EVENT.>"
"""


def judge(raw: bytes) -> JudgedManifest:
    return decode(raw, known=KNOWN)


def described(raw: bytes) -> list[str]:
    return [problem.described("f") for problem in judge(raw).problems]


def test_the_manifest_that_is_shipped_has_nothing_to_remark_on() -> None:
    judged = judge(SHIPPED.read_bytes())

    assert judged.problems == ()
    assert judged.acl is not None
    assert judged.acl.producers(AUTH_REQUEST) == {GATEKEEPER}
    assert judged.acl.services[WATCHER].subscribe >= {CA_CERT}


def test_the_prototypes_manifest_is_accepted_and_grants_nothing_by_accident() -> None:
    judged = judge(PROTOTYPE)

    assert judged.errors == ()
    assert [(p.line, p.column, p.reason.partition(":")[0]) for p in judged.warnings] == [
        (20, 3, "tester is not a service of this deployment"),
        (40, 3, "js-admin is not a service of this deployment"),
        (42, 9, "js-admin.publish"),
        (43, 9, "js-admin.publish"),
        (45, 9, "js-admin.subscribe"),
        (46, 9, "js-admin.subscribe"),
    ]
    assert judged.acl is not None
    assert judged.acl.services.keys() == KNOWN
    assert not {topic for topic in judged.acl.topics if {*topic} & {*"*>$"}}
    assert judged.acl.producers(RESPONDER) == {AUTHCONTROLLER}


def test_nobody_may_be_granted_anything() -> None:
    judged = judge(b"roles: {}")

    assert judged.problems == ()
    assert judged.acl is not None
    assert not judged.acl.services


def test_every_mistake_is_reported_with_its_place_and_what_was_probably_meant() -> None:
    raw = b"""\
role: {}
roles:
  gatekeper: {publish: [a..b]}
  gatekeeper:
    publish: &x [a.b, a.b, 12, "12", a.>]
    subscibe: []
    subscribe: *x
  gatekeeper: {}
  watcher:
  metadata: {publish: , subscribe: [[a]]}
  7: {}
"""

    judged = judge(raw)

    assert judged.acl is None
    assert [p.described("f") for p in judged.problems] == [
        "f:1:1: error: unknown name 'role' (did you mean roles?)",
        (
            "f:3:3: warning: gatekeper is not a service of this deployment"
            " (did you mean gatekeeper?): it gets nothing"
        ),
        (
            "f:3:25: error: gatekeper.publish: 'a..b' has an empty token:"
            " no dot may be first, last or next to another"
        ),
        "f:5:14: error: anchors are not allowed",
        "f:5:23: warning: gatekeeper.publish: a.b is in this list already",
        "f:5:28: error: gatekeeper.publish: want a subject; put a number in quotes",
        (
            "f:5:38: warning: gatekeeper.publish: a.> is a wildcard,"
            " and keys belong to literal topics: it grants nothing"
        ),
        (
            "f:6:5: error: gatekeeper: unknown name 'subscibe' (did you mean subscribe?),"
            " want `publish` and `subscribe` lists"
        ),
        "f:7:16: error: aliases are not allowed; write the value again",
        "f:8:3: error: 'gatekeeper' stands in `roles` already, in line 4",
        "f:9:3: error: watcher: want `publish` and `subscribe` lists; write {} for none",
        "f:10:14: error: metadata.publish: want a list; write [] for none",
        "f:10:37: error: metadata.subscribe: want a subject; put a number in quotes",
        "f:11:3: error: a name in `roles` must be text; put it in quotes",
    ]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(b"", "f:1:1: error: want a mapping with `roles`", id="empty"),
        pytest.param(b"# roles\n", "f:1:1: error: want a mapping with `roles`", id="comment"),
        pytest.param(b"[]", "f:1:1: error: want a mapping with `roles`", id="a list"),
        pytest.param(b"{}", "f:1:1: error: there is no `roles`", id="no roles"),
        pytest.param(b"\nroles:\n", "f:2:1: error: want services under `roles`", id="cut short"),
        pytest.param(b"roles: []", "f:1:1: error: want services under `roles`", id="listed roles"),
        pytest.param(b"roles: {a: [", "f:1:13: error: expected the node", id="unfinished"),
        pytest.param(b"roles: {}\n---\n{}", "f:2:1: error: a second document", id="two"),
        pytest.param(b"roles: !!map {}", "f:1:8: error: tags are not allowed", id="tag"),
        pytest.param(b"roles:\n  a: \xff", "f:2:6: error: not UTF-8", id="not text"),
        pytest.param(b"roles: \x00", "f:1:1: error: not YAML", id="control character"),
        pytest.param(b"a: " + b"[" * 99, "f:1:11: error: nested deeper than 8", id="deep"),
        pytest.param(b"#" * ((4 << 20) + 1), "f:1:1: error: 4194305 bytes is more", id="large"),
        pytest.param(b"[" + b"," * 9, "f:1:2: error: expected the node content", id="commas"),
        pytest.param(
            b"roles: {watcher: {publish: 1}}",
            "f:1:19: error: watcher.publish: want a list; write [] for none",
            id="no list",
        ),
        pytest.param(
            b"roles: {? [a] : {}}", "f:1:11: error: a name in `roles` must be text", id="odd name"
        ),
    ],
)
def test_what_is_no_manifest_is_one_error(raw: bytes, problem: str) -> None:
    problems = described(raw)

    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize("word", ["null", "~", "true", "12", "1.10", "0x1F", ".inf", "-3e5"])
def test_what_yaml_reads_as_something_else_wants_quotes(word: str) -> None:
    plain = judge(f"roles: {{watcher: {{publish: [{word}]}}}}".encode())
    in_quotes = judge(f'roles: {{watcher: {{publish: ["{word}"]}}}}'.encode())

    assert [p.column for p in plain.errors] == [29]
    assert plain.errors != in_quotes.errors


def test_a_misspelt_topic_is_granted_with_a_warning() -> None:
    judged = judge(
        b"roles: {gatekeeper: {publish: [auth.auth-request]},"
        b" authcontroller: {subscribe: [auth.auth-requst]}}"
    )

    assert judged.acl is not None
    assert judged.acl.topics == {AUTH_REQUEST, "auth.auth-requst"}
    assert [p.column for p in judged.warnings] == [32, 82]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'roles: {"a\\nf:1:1: error: b": {publish: [1], x: []}}', id="a line end"),
        pytest.param(b'roles: {"\\e[2J": 1, "a": {"\\e[2J": []}}', id="an escape sequence"),
        pytest.param(b'roles: {"\\n": {publish: ["\\n.>", "$\\n"]}}', id="everywhere"),
        pytest.param(b'"\\n": {"\\n"', id="outside"),
    ],
)
def test_what_a_manifest_says_cannot_pass_for_a_line_of_ours(raw: bytes) -> None:
    problems = judge(raw).problems

    assert problems
    assert [p.reason for p in problems if not p.reason.isprintable()] == []


def test_aliases_cannot_expand() -> None:
    bomb = b"roles:\n  a: &a {publish: [x]}\n" + b"".join(
        f"  b{n}: &b{n} {{publish: [*a, *a, *a, *a]}}\n".encode() for n in range(900)
    )

    judged = judge(bomb)

    assert judged.acl is None
    assert len([p for p in judged.errors if "aliases" in p.reason]) == 4 * 900
    assert len([p for p in judged.errors if "anchors" in p.reason]) == 901


def test_services_are_bounded() -> None:
    raw = b"roles:\n" + b"".join(b"  s%d: {}\n" % n for n in range(MAX_ROLES + 1))

    assert [p.reason for p in judge(raw).errors] == ["1001 services are more than the 1000 allowed"]


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl_manifest, "MAX_ENTRIES", 3)
    raw = b"roles: {watcher: {publish: [a, b], subscribe: [a, %s]}}"

    assert judge(raw % b"").errors == ()
    assert [p.reason for p in judge(raw % b"b").errors] == ["4 entries are more than the 3 allowed"]


def test_reading_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl_yaml, "MAX_NODES", 9)
    raw = b"roles: {watcher: {publish: [a, b, %s]}}"

    assert judge(raw % b"").errors == ()
    assert described(raw % b"c, d, e") == [
        "f:1:35: error: more than the 9 names and entries allowed"
    ]


def test_the_limit_of_nodes_leaves_room_for_the_limit_of_entries() -> None:
    nodes_per_service = 6

    assert MAX_ENTRIES + MAX_ROLES * nodes_per_service <= acl_yaml.MAX_NODES


def test_ten_thousand_topics_of_two_hundred_services_are_a_matter_of_seconds() -> None:
    names = [ServiceName(f"service-{n}") for n in range(200)]
    manifest = large_manifest(names)
    began = time.process_time()

    before = decode(manifest, known=frozenset(names)).acl
    assert before is not None
    after = Acl({name: before.services[name] for name in names[1:]})
    diff = diff_acls(before, after)

    assert time.process_time() - began < 10
    assert len(before.topics) == 10_001
    assert diff.services_removed == (names[0],)
    assert len(diff.topics_to_roll) == 100


def large_manifest(names: list[ServiceName]) -> bytes:
    """Return one in which every one of 10,000 topics has a producer and a consumer."""
    lines = ["roles:"]
    for number, name in enumerate(names):
        mine = [f"orders.topic-{topic}" for topic in range(number, 10_000, len(names))]
        others = [f"orders.topic-{topic}" for topic in range(number + 1, 10_001, len(names))]
        lines += [f"  {name}:", "    publish:", *(f"      - {t}" for t in mine)]
        lines += ["    subscribe:", *(f"      - {t}" for t in others)]
    return "\n".join([*lines, ""]).encode()


WORDS = st.sampled_from(
    [
        b"roles",
        b"watcher",
        b"publish",
        b"a.b",
        b"&a ",
        b"*a",
        b"!!str ",
        b"|",
        b">",
        b"-1",
        b'"\\n"',
    ]
)
SIGNS = st.sampled_from([b": ", b"\n", b"\n  ", b"- ", b"{", b"}", b"[", b"]", b", ", b"? ", b"'"])


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.lists(WORDS | SIGNS, max_size=40).map(b"".join)
)
def test_any_bytes_are_judged(raw: bytes) -> None:
    judged = judge(raw)

    assert (judged.acl is None) == bool(judged.errors)
    assert [p for p in judged.problems if p.line < 1 or p.column < 1 or not p.reason] == []
    assert all(p.reason.isprintable() for p in judged.problems)
