"""The two clusters the contract is held against: the emulator always, a real one when there is."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import Configuration, RbacAuthorizationV1Api

from svc_core.adapters.kube import KubeApi, open_kube
from svc_core.config import KubernetesApiSettings
from tests.fakes.kube_emulator.emulator import Emulator, open_emulator

IMAGE: Final = os.environ.get("ST_KUBE_IMAGE", "busybox:1.37")
"""What pods run on a real cluster: has ``sh`` and ``sleep``."""
TIMEOUT: Final = timedelta(seconds=30)


@dataclass(slots=True)
class Cluster:
    """A namespace of its own in some cluster."""

    admin: KubeApi
    namespace: str
    root: Path
    stack: AsyncExitStack
    emulator: Emulator | None = None
    accounts: int = field(default=0)

    async def as_account(self, rules: list[dict[str, Any]]) -> KubeApi:
        """Return the API as a new service account that may do what ``rules`` say."""
        access = await self.access_of_account(rules)
        return await self.stack.enter_async_context(open_kube(access))

    async def access_of_account(self, rules: list[dict[str, Any]]) -> KubernetesApiSettings:
        """Make a service account with ``rules`` and a token file; return how to use it."""
        self.accounts += 1
        name, core = f"account-{self.accounts}", self.admin.core
        rbac = RbacAuthorizationV1Api(self.admin.client)
        metadata = {"name": name}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {"metadata": metadata, "subjects": [subject], "roleRef": role}
        for operation, body in (
            (core.create_namespaced_service_account, {"metadata": metadata}),
            (rbac.create_namespaced_role, {"metadata": metadata, "rules": rules}),
            (rbac.create_namespaced_role_binding, binding),
        ):
            await self.admin.send(operation, self.namespace, body)
        issued = await self.admin.send(
            core.create_namespaced_service_account_token,
            name,
            self.namespace,
            {"spec": {"audiences": []}},
        )
        token_file = self.root / f"{name}.token"
        token_file.write_text(str(issued.status.token))
        configuration = self.admin.client.configuration
        return KubernetesApiSettings(
            url=str(configuration.host),
            ca_file=Path(str(configuration.ssl_ca_cert)),
            token_file=token_file,
            timeout=TIMEOUT,
        )

    async def run_pod(self, name: str) -> None:
        """Run a pod with the label ``app=nats`` and a container ``nats``; wait until it does."""
        container = {"name": "nats", "image": IMAGE, "command": ["sleep", "3600"]}
        body = {
            "metadata": {"name": name, "labels": {"app": "nats"}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
        core = self.admin.core
        await self.admin.send(core.create_namespaced_pod, self.namespace, body)
        response: Any = await core.list_namespaced_pod(
            self.namespace,
            field_selector=f"metadata.name={name}",
            watch=True,
            timeout_seconds=60,
            _preload_content=False,
        )
        try:
            async for line in response.content:
                if b'"phase":"Running"' in line.replace(b": ", b":"):
                    return
        finally:
            response.close()
        raise AssertionError(f"pod {name} does not run: is {IMAGE} there? (ST_KUBE_IMAGE)")


@asynccontextmanager
async def open_emulated(root: Path) -> AsyncIterator[Cluster]:
    """Yield a namespace of a fresh emulator."""
    async with (
        open_emulator(root) as emulator,
        open_kube(emulator.access()) as admin,
        AsyncExitStack() as stack,
    ):
        await admin.send(admin.core.create_namespace, {"metadata": {"name": "nats"}})
        yield Cluster(admin, "nats", root, stack, emulator)


@asynccontextmanager
async def open_real(root: Path) -> AsyncIterator[Cluster]:
    """Yield a namespace of the cluster that ``KUBECONFIG`` names; deleted afterwards."""
    configuration = Configuration()
    await kube_config.load_kube_config(client_configuration=configuration)
    admin = KubeApi(configuration, TIMEOUT)
    tail = root.name[-12:].replace("_", "-").strip("-")
    namespace = f"securetransport-contract-{os.getpid()}-{tail}".lower()
    try:
        await admin.send(admin.core.create_namespace, {"metadata": {"name": namespace}})
        async with AsyncExitStack() as stack:
            yield Cluster(admin, namespace, root, stack)
        await admin.send(admin.core.delete_namespace, namespace)
    finally:
        await admin.close()
