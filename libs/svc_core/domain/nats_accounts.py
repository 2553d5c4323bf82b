"""The accounts of the NATS servers, generated from the ACL: who may say what to whom.

One account per service, all streams in the account HUB whose user is Metadata, and imports only
for a service's own subjects. Allow lists inside one account would not do: the reply subject of a
request is not checked against them, so a service could make the server publish for it. Nobody but
Metadata may create streams or consumers, and nobody may delete or purge any. The operator's
commands have an account of their own: it reads dead letters, removes single ones, and may say again
on a data topic what was refused there; it hears nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import (
    CANARY,
    METADATA,
    OPERATOR,
    WATCHER_SYS,
    Deployment,
    ServiceName,
    Subject,
)
from svc_core.domain.subjects import (
    BUNDLE_PULL,
    BUNDLE_WORKERS,
    CA_CERT,
    CA_STREAM,
    DEAD_LETTER_STREAM,
    DURABLES,
    MAX_PAYLOAD,
    REMOVE_DEAD_LETTER,
    STATUS_BUCKET,
    STATUS_STREAM,
    STREAMS,
    DurableSpec,
    bundle_push,
    dead_letters,
    inbox_prefix,
)

_HUB: Final = "HUB"
_SYSTEM: Final = "SYS"
_CANARY: Final = "CANARY"
_OPERATOR: Final = ServiceName(OPERATOR)
_RESERVED: Final = frozenset({_HUB, _SYSTEM, _CANARY, OPERATOR.upper()})
_DATA_TOPICS: Final[Mapping[Subject, DurableSpec]] = {d.filter_subject: d for d in DURABLES}
# A request to JetStream's API is also answered for the account it comes from, which has no streams;
# under another name it reaches the streams' account only.
_RENAMED: Final = {REMOVE_DEAD_LETTER: f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTER_STREAM}"}
_MAX_REPLICAS: Final = 3
_CONSUMERS: Final = 16
_LIMITS: Final = (
    "limits { max_connections: 16, max_subscriptions: 200, "
    f"max_payload: {MAX_PAYLOAD >> 10}KB, max_leafnodes: 0 }}"
)


@dataclass(frozen=True, slots=True)
class _Rights:
    """What one service may do across the border between its account and HUB."""

    requests: tuple[str, ...]
    """Published by the service, answered at most once."""
    pulls: tuple[str, ...]
    """Published by the service, answered by many messages."""
    hints: tuple[str, ...]
    """Heard by the service."""

    @property
    def publishes(self) -> tuple[str, ...]:
        return (*self.requests, *self.pulls)


def render_accounts(grants: Mapping[ServiceName, TopicGrant], deployment: Deployment) -> str:
    """Return the ``accounts`` block and ``system_account`` of a NATS configuration.

    A topic without a stream, and the subjects of bundles and CAs, are no data topics: they are
    granted by being a service, not by the ACL. The text is the same for the same grants.

    Args:
        grants: every service that gets a user; Metadata always has one.
        deployment: the start of the SPIFFE ids that are the user names.

    Raises:
        ValueError: a service is called like an account that is not its own.
    """
    users = {name: _rights(name, grants[name]) for name in sorted(grants) if name != METADATA}
    for name in users:
        if _account(name) in _RESERVED:
            raise ValueError(f"no service may be called {name!r}: that account is not its own")
    users[_OPERATOR] = _operator_rights()
    own = grants.get(METADATA, TopicGrant((), ()))
    accounts = [_hub(own, users, deployment)]
    accounts += [_user(name, rights, deployment) for name, rights in users.items()]
    accounts += [_canary(deployment), _system(deployment)]
    return "\n".join(["accounts {", *accounts, "}", f"system_account: {_SYSTEM}", ""])


def streamed(grant: TopicGrant) -> TopicGrant:
    """Return the part of ``grant`` that occurs in anybody's permissions: topics with a stream.

    `render_accounts` makes the same of both.
    """
    return TopicGrant(
        tuple(topic for topic in grant.publish if topic in _DATA_TOPICS),
        tuple(topic for topic in grant.subscribe if topic in _DATA_TOPICS),
    )


def _rights(service: ServiceName, grant: TopicGrant) -> _Rights:
    consumed = _consumed(grant)
    own_status = f"$KV.{STATUS_BUCKET}.{service}.*"
    return _Rights(
        requests=(
            _direct_get(CA_STREAM, CA_CERT),
            BUNDLE_PULL,
            own_status,
            _direct_get(STATUS_STREAM, own_status),
            dead_letters(service),
            *_produced(grant),
            *(_acknowledgement(d) for d in consumed),
        ),
        pulls=tuple(_next_message(d) for d in consumed),
        hints=(CA_CERT, bundle_push(service)),
    )


def _operator_rights() -> _Rights:
    return _Rights(
        requests=(
            dead_letters(_OPERATOR),
            REMOVE_DEAD_LETTER,
            *sorted(_DATA_TOPICS),
        ),
        pulls=(f"$JS.API.DIRECT.GET.{DEAD_LETTER_STREAM}",),
        hints=(),
    )


def _hub(own: TopicGrant, services: Mapping[ServiceName, _Rights], deployment: Deployment) -> str:
    # Reservations count once per replica.
    max_file = sum(stream.max_bytes for stream in STREAMS) * (_MAX_REPLICAS + 1)
    streams = (
        f"    jetstream {{ max_mem: 0, max_file: {max_file}, "
        f"max_streams: {len(STREAMS)}, max_consumers: {_CONSUMERS} }}"
    )
    subscribes = (
        f"{inbox_prefix(METADATA)}.>",
        f"{BUNDLE_PULL} {BUNDLE_WORKERS}",
        # Statuses as they are said: while a frozen server leads the stream there is nothing else.
        f"$KV.{STATUS_BUCKET}.>",
    )
    lines = [
        f"  {_HUB} {{",
        streams,
        *_only_user(
            deployment.spiffe_id(METADATA),
            _hub_publishes(own),
            subscribes,
            'allow_responses: { max: 1, expires: "5s" }',
        ),
        "    exports: [",
        *_exports(services),
        "    ]",
        "  }",
    ]
    return "\n".join(lines)


def _hub_publishes(own: TopicGrant) -> Iterator[str]:
    yield from (CA_CERT, "metadata.bundle-push.*", dead_letters(METADATA))
    for stream in STREAMS:
        for verb in ("CREATE", "UPDATE", "INFO"):
            yield f"$JS.API.STREAM.{verb}.{stream.name}"
    for durable in DURABLES:
        name = f"{durable.stream}.{durable.name}"
        yield f"$JS.API.CONSUMER.CREATE.{name}.{durable.filter_subject}"
        yield f"$JS.API.CONSUMER.INFO.{name}"
    yield f"$KV.{STATUS_BUCKET}.{METADATA}.*"
    # The batch form, which reads the last status of every instance at once.
    yield f"$JS.API.DIRECT.GET.{STATUS_STREAM}"
    yield _direct_get(STATUS_STREAM, f"$KV.{STATUS_BUCKET}.>")
    yield _direct_get(CA_STREAM, CA_CERT)
    yield from _produced(own)
    for durable in _consumed(own):
        yield from (_acknowledgement(durable), _next_message(durable))


def _exports(services: Mapping[ServiceName, _Rights]) -> Iterator[str]:
    yield from _export("service", "", {s: r.requests for s, r in services.items()})
    yield from _export(
        "service", ", response_type: stream", {s: r.pulls for s, r in services.items()}
    )
    yield from _export("stream", "", {s: r.hints for s, r in services.items()})


def _export(
    kind: str, extra: str, subjects: Mapping[ServiceName, tuple[str, ...]]
) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    for service, mine in subjects.items():
        for subject in dict.fromkeys(mine):
            users.setdefault(subject, []).append(_account(service))
    for subject in sorted(users):
        name, accounts = _RENAMED.get(subject, subject), ", ".join(users[subject])
        yield f"      {{ {kind}: {_quoted(name)}{extra}, accounts: [{accounts}] }}"


def _user(name: ServiceName, rights: _Rights, deployment: Deployment) -> str:
    subscribes = (f"{inbox_prefix(name)}.>", *rights.hints)
    lines = [
        f"  {_account(name)} {{",
        f"    {_LIMITS}",
        *_only_user(deployment.spiffe_id(name), rights.publishes, subscribes),
        "    imports: [",
        *(_import("service", subject) for subject in rights.publishes),
        *(_import("stream", subject) for subject in rights.hints),
        "    ]",
        "  }",
    ]
    return "\n".join(lines)


def _canary(deployment: Deployment) -> str:
    inbox = (f"{inbox_prefix(CANARY)}.>",)
    user = _only_user(deployment.spiffe_id(CANARY), inbox, inbox)
    return "\n".join([f"  {_CANARY} {{", f"    {_LIMITS}", *user, "  }"])


def _system(deployment: Deployment) -> str:
    publishes = tuple(f"$SYS.REQ.SERVER.*.{v}" for v in ("RELOAD", "KICK", "VARZ", "CONNZ"))
    subscribes = (f"{inbox_prefix(WATCHER_SYS)}.>",)
    user = _only_user(deployment.spiffe_id(WATCHER_SYS), publishes, subscribes)
    return "\n".join([f"  {_SYSTEM} {{", *user, "  }"])


def _only_user(
    uri: str, publishes: Iterable[str], subscribes: Iterable[str], *more: str
) -> list[str]:
    return [
        "    users: [",
        f"      {{ user: {_quoted(uri)}",
        '        allowed_connection_types: ["STANDARD"]',
        "        permissions {",
        *_permissions(publishes, subscribes),
        *(f"          {line}" for line in more),
        "        }",
        "      }",
        "    ]",
    ]


def _permissions(publishes: Iterable[str], subscribes: Iterable[str]) -> Iterator[str]:
    for verb, subjects in (("publish", publishes), ("subscribe", subscribes)):
        yield f"          {verb} {{ allow: ["
        yield from (f"            {_quoted(subject)}" for subject in subjects)
        yield "          ] }"


def _import(kind: str, subject: str) -> str:
    name = _RENAMED.get(subject, subject)
    local = f", to: {_quoted(subject)}" if name != subject else ""
    return f"      {{ {kind}: {{ account: {_HUB}, subject: {_quoted(name)} }}{local} }}"


def _account(user: ServiceName) -> str:
    return user.upper()


def _produced(grant: TopicGrant) -> list[Subject]:
    return sorted(set(grant.publish) & _DATA_TOPICS.keys())


def _consumed(grant: TopicGrant) -> list[DurableSpec]:
    return [_DATA_TOPICS[topic] for topic in sorted(set(grant.subscribe) & _DATA_TOPICS.keys())]


def _direct_get(stream: str, subject: str) -> str:
    return f"$JS.API.DIRECT.GET.{stream}.{subject}"


def _acknowledgement(durable: DurableSpec) -> str:
    return f"$JS.ACK.{durable.stream}.{durable.name}.>"


def _next_message(durable: DurableSpec) -> str:
    return f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"


def _quoted(text: str) -> str:
    if not text.isprintable() or '"' in text or "\\" in text:
        raise ValueError(f"cannot be written into a NATS configuration: {text!r}")
    return f'"{text}"'
