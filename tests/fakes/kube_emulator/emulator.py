"""The emulator as one context manager, and what a test does to it."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from aiohttp import web

from svc_core.config import KubernetesApiSettings
from tests.fakes.kube_emulator.api import ADMIN, KubeHttp
from tests.fakes.kube_emulator.execs import Container
from tests.fakes.kube_emulator.faults import Faults
from tests.fakes.kube_emulator.kubelet import Kubelet, SecretVolume
from tests.fakes.kube_emulator.objects import Object, ObjectStore, Place
from tests.fakes.kube_emulator.rbac import Act, Decision, Rbac, read_rbac, service_account


@dataclass(slots=True)
class Emulator:
    """A running API server with its kubelet."""

    url: str
    root: Path
    http: KubeHttp
    kubelet: Kubelet

    @property
    def store(self) -> ObjectStore:
        """Every object."""
        return self.http.store

    @property
    def faults(self) -> Faults:
        """What the next requests meet."""
        return self.http.faults

    @property
    def denials(self) -> list[Decision]:
        """What RBAC refused."""
        return [decision for decision in self.http.decisions if not decision.is_allowed]

    def access(self, user: str = ADMIN) -> KubernetesApiSettings:
        """Return settings with a fresh token of ``user``, kept in a file of its own."""
        token = self.http.issue_token(user)
        path = self.root / f"token-{len(self.http.tokens)}"
        path.write_text(token)
        return KubernetesApiSettings(url=self.url, ca_file=self.root / "ca.pem", token_file=path)

    def access_of(self, namespace: str, account: str) -> KubernetesApiSettings:
        """Return settings with a fresh token of a service account."""
        return self.access(service_account(namespace, account))

    def rotate_tokens(self, access: KubernetesApiSettings) -> None:
        """Put a new token into the file, as a kubelet does, and refuse the former one."""
        user = self.http.tokens.pop(access.token_file.read_text())
        access.token_file.write_text(self.http.issue_token(user))

    def add(self, resource: str, namespace: str, value: Object) -> None:
        """Put an object there without asking anybody, with its namespace."""
        if namespace:
            self.store.put(Place("namespaces", "", namespace), {})
        self.store.put(Place(resource, namespace, value["metadata"]["name"]), value)

    def add_pod(
        self, namespace: str, name: str, labels: Mapping[str, str], container: Container
    ) -> None:
        """Run a pod."""
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        spec = {"containers": [{"name": "nats", "image": "none"}]}
        metadata = {"name": name, "labels": dict(labels)}
        self.add("pods", namespace, {"metadata": metadata, "spec": spec, "status": status})
        self.http.containers[name] = container

    def load_rbac(self, files: Iterable[Path], *, namespace: str) -> None:
        """Take over the service accounts, roles and bindings of manifests."""
        for place, value in read_rbac(files, namespace=namespace):
            self.add(place.resource, place.namespace, value)

    def allows(self, act: Act) -> bool:
        """Say what RBAC says of ``act``."""
        return Rbac(self.store).allows(act)

    def mount(self, volumes: Sequence[SecretVolume]) -> None:
        """Have the kubelet keep these volumes."""
        self.kubelet.volumes = tuple(volumes)

    def drop_watches(self) -> None:
        """Cut every open watch without a word."""
        self.faults.dropped_watches += 1
        self.store.wake()


@asynccontextmanager
async def open_emulator(root: Path) -> AsyncIterator[Emulator]:
    """Serve on a free port of the loopback address until the context ends.

    Args:
        root: for its CA file and token files.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    store = ObjectStore()
    http, kubelet = KubeHttp(store), Kubelet(store)
    store.listeners.append(kubelet.note)
    application = web.Application(client_max_size=4 << 20)
    application.router.add_route("*", "/{path:.*}", http.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        yield Emulator(f"https://127.0.0.1:{port}", root, http, kubelet)
    finally:
        await runner.cleanup()
