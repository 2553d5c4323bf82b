"""The HTTP side: authentication, authorisation, verbs, patches and watches."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.fakes.kube_emulator import patches
from tests.fakes.kube_emulator.answers import ApiStatusError, conflict, forbidden, not_found
from tests.fakes.kube_emulator.execs import Container, serve_exec
from tests.fakes.kube_emulator.faults import Faults
from tests.fakes.kube_emulator.objects import KINDS, Object, ObjectStore, Place
from tests.fakes.kube_emulator.rbac import Act, Decision, Rbac, service_account

_PATH: Final = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v1"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)
_TRUE: Final = frozenset({"true", "True", "1"})
ADMIN: Final = "system:admin"
"""Allowed everything, whatever the roles say."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one request is about."""

    group: str
    place: Place
    sub: str

    @property
    def resource(self) -> str:
        """The resource as rules name it."""
        return f"{self.place.resource}/{self.sub}" if self.sub else self.place.resource


@dataclass(slots=True)
class KubeHttp:
    """Handles every request."""

    store: ObjectStore
    faults: Faults = field(default_factory=Faults)
    tokens: dict[str, str] = field(default_factory=dict)
    """User by bearer token."""
    containers: dict[str, Container] = field(default_factory=dict)
    """By pod; one is made for every pod that has none."""
    decisions: list[Decision] = field(default_factory=list)
    """Everything anybody but the administrator asked for."""
    _issued: int = 0

    def issue_token(self, user: str) -> str:
        """Return a token of ``user`` that nobody had before."""
        self._issued += 1
        token = f"token-{self._issued}-of-{user}"
        self.tokens[token] = user
        return token

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            await asyncio.sleep(self.faults.latency.total_seconds())
            return await self._dispatch(request, _target(request))
        except ApiStatusError as err:
            return web.json_response(err.as_document(), status=err.code)

    async def _dispatch(self, request: web.Request, target: Target) -> web.StreamResponse:
        user = self._user(request)
        verb = _verb(request, target)
        self._authorise(user, verb, target, request)
        self.faults.meet(verb, target.resource)
        if target.sub == "exec":
            # Newer servers check both verbs, whichever method carries the upgrade.
            self._authorise(user, "create", target, request)
            self.store.get(target.place)
            container = self.containers.setdefault(target.place.name, Container())
            return await serve_exec(request, container)
        if target.sub == "token":
            return web.json_response(self._new_token(target.place), status=201)
        if verb == "watch":
            return await self._watch(request, target)
        document, status = await self._answer(request, verb, target, user)
        return web.json_response(document, status=status)

    async def _answer(
        self, request: web.Request, verb: str, target: Target, user: str
    ) -> tuple[Object, int]:
        place = target.place
        match verb:
            case "get":
                return self.store.get(place), 200
            case "list":
                return self._list(request, target), 200
            case "create":
                return self._create(await request.json(), target, user), 201
            case "update":
                return self._replace(place, await request.json(), user), 200
            case "delete":
                return self.store.remove(place), 200
            case _:
                body = await request.json()
                return self._patch(request, target, body, user)

    def _user(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise ApiStatusError(401, "Unauthorized", "Unauthorized")
        return self.tokens[token]

    def _authorise(self, user: str, verb: str, target: Target, request: web.Request) -> None:
        if user == ADMIN:
            return
        name = target.place.name or _named_by_selector(request)
        act = Act(user, verb, target.group, target.resource, target.place.namespace, name)
        allowed = Rbac(self.store).allows(act)
        self.decisions.append(Decision(act, allowed))
        if not allowed:
            raise forbidden(
                f'{act.resource} "{act.name}" is forbidden: User "{user}" cannot {verb} resource '
                f'"{act.resource}" in API group "{act.group}" in the namespace "{act.namespace}"'
            )

    # --- writing -----------------------------------------------------------------------------

    def _create(self, body: Object, target: Target, user: str) -> Object:
        metadata = body.get("metadata") or {}
        name = metadata.get("name") or f"{metadata.get('generateName', '')}{self.store.version}"
        place = Place(target.place.resource, target.place.namespace, name)
        self._require_namespace(place)
        if self.store.find(place) is not None:
            raise ApiStatusError(409, "AlreadyExists", f'{place.resource} "{name}" already exists')
        if place.resource == "pods":
            running = [{"type": "Ready", "status": "True"}]
            body = body | {"status": {"phase": "Running", "conditions": running}}
        return self.store.put(place, body, patches.owned_after_write(None, body, {}, user))

    def _replace(self, place: Place, body: Object, user: str) -> Object:
        before = self.store.get(place)
        _require_version(before, body)
        owners = patches.owned_after_write(before, body, self.store.owners(place), user)
        return self.store.put(place, body, owners)

    def _patch(
        self, request: web.Request, target: Target, body: Any, user: str
    ) -> tuple[Object, int]:
        place, kind = target.place, request.content_type
        if kind == patches.APPLY:
            return self._apply(request, target, body, user)
        before = self.store.get(place)
        if kind == patches.JSON:
            after = patches.edited(before, body)
        else:
            _require_version(before, body)
            after = patches.merged(before, body)
        owners = patches.owned_after_write(before, after, self.store.owners(place), user)
        return self.store.put(place, after, owners), 200

    def _apply(
        self, request: web.Request, target: Target, body: Object, user: str
    ) -> tuple[Object, int]:
        place = target.place
        manager = request.query.get("fieldManager")
        if not manager:
            raise ApiStatusError(400, "BadRequest", "fieldManager: Required value for apply patch")
        before = self.store.find(place)
        if before is None:
            self._authorise(user, "create", target, request)
            self._require_namespace(place)
            if (body.get("metadata") or {}).get("resourceVersion"):
                raise conflict("resourceVersion: may not be set on an object to be created")
        else:
            _require_version(before, body)
        after, owners = patches.applied(
            before or {"kind": body.get("kind"), "apiVersion": body.get("apiVersion")},
            body,
            self.store.owners(place),
            manager=manager,
            force=request.query.get("force") in _TRUE,
        )
        return self.store.put(place, after, owners), 200 if before else 201

    def _require_namespace(self, place: Place) -> None:
        if place.namespace:
            self.store.get(Place("namespaces", "", place.namespace))

    def _new_token(self, account: Place) -> Object:
        self.store.get(account)
        token = self.issue_token(service_account(account.namespace, account.name))
        return {"kind": "TokenRequest", "spec": {"audiences": []}, "status": {"token": token}}

    # --- reading -----------------------------------------------------------------------------

    def _list(self, request: web.Request, target: Target) -> Object:
        selected = _selection(request)
        items = [
            item
            for item in self.store.select(target.place.resource, target.place.namespace)
            if selected(item)
        ]
        return {
            "kind": f"{KINDS[target.place.resource]}List",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(self.store.version)},
            "items": items,
        }

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 3600)):
                await self._stream(request, target, response)
        except TimeoutError:
            await response.write_eof()
        except ApiStatusError as err:
            await _send(response, "ERROR", err.as_document())
        return response

    async def _stream(
        self, request: web.Request, target: Target, response: web.StreamResponse
    ) -> None:
        if self.faults.gone_watches:
            self.faults.gone_watches -= 1
            raise ApiStatusError(410, "Expired", "too old resource version")
        selected, drops = _selection(request), self.faults.dropped_watches
        version = int(request.query.get("resourceVersion") or 0)
        if version == 0:
            for item in self._list(request, target)["items"]:
                await _send(response, "ADDED", item)
            version = self.store.version
        while self.faults.dropped_watches == drops:
            for change in self.store.changes_since(version):
                version = change.version
                place = change.place
                is_here = target.place.namespace in {"", place.namespace}
                if place.resource == target.place.resource and is_here and selected(change.object):
                    await _send(response, change.type, change.object)
            await self.store.changed(3600)
        if request.transport is not None:
            request.transport.abort()


def _target(request: web.Request) -> Target:
    match = _PATH.fullmatch(request.path)
    if match is None or match["resource"] not in KINDS:
        raise not_found("path", request.path)
    place = Place(match["resource"], match["namespace"] or "", match["name"] or "")
    return Target(match["group"] or "", place, match["sub"] or "")


def _verb(request: web.Request, target: Target) -> str:
    if request.method == "GET" and not target.place.name:
        return "watch" if request.query.get("watch") in _TRUE else "list"
    verbs = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return verbs[request.method]


def _named_by_selector(request: web.Request) -> str:
    selector = request.query.get("fieldSelector", "")
    return selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""


def _selection(request: web.Request) -> Callable[[Object], bool]:
    name = _named_by_selector(request)
    pairs = [p.split("=", 1) for p in request.query.get("labelSelector", "").split(",") if p]

    def selected(item: Object) -> bool:
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        return (not name or metadata["name"] == name) and all(
            labels.get(key.strip()) == value.strip("= ") for key, value in pairs
        )

    return selected


def _require_version(before: Object, body: Object) -> None:
    wanted = (body.get("metadata") or {}).get("resourceVersion")
    if wanted and wanted != before["metadata"]["resourceVersion"]:
        raise conflict("the object has been modified; please apply your changes to the latest one")


async def _send(response: web.StreamResponse, kind: str, value: Object) -> None:
    await response.write(json.dumps({"type": kind, "object": value}).encode() + b"\n")
