"""The Kubernetes API over kubernetes_asyncio: one service account, every call bounded.

What the client library raises is translated here, so that nothing above knows HTTP. The bearer
token is read for every call: projected tokens are replaced about once an hour, and a process that
remembers its first one works until that moment and never again.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration, CoreV1Api
from kubernetes_asyncio.stream import WsApiClient

from svc_core.config import KubernetesApiSettings
from svc_core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ConfigError,
    KubernetesError,
    NotFoundError,
    RequestRefusedError,
    StaleWriteError,
    SvcError,
)

T = TypeVar("T")
Call = Callable[[CoreV1Api], Awaitable[T]]

APPLY: Final = "application/apply-patch+yaml"
"""Content type of a server-side apply."""
MERGE: Final = "application/merge-patch+json"
"""Content type of a patch in which null removes."""

_HOST: Final = "KUBERNETES_SERVICE_HOST"
_PORT: Final = "KUBERNETES_SERVICE_PORT"
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 401, 403, 404, 409
_TOO_MANY, _SERVER_ERROR = 429, 500
_REASON_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class Named:
    """Which object of its kind."""

    namespace: str
    name: str


class KubeApi:
    """The core API as one identity sees it."""

    def __init__(self, configuration: Configuration, timeout: timedelta) -> None:
        self._timeout_s = timeout.total_seconds()
        self.client = ApiClient(configuration)
        """For the APIs of other groups than core."""
        self._streams = WsApiClient(configuration)
        self.core = CoreV1Api(self.client)
        """For watches, whose answer is a stream; everything else goes through `call`."""
        self.exec_core = CoreV1Api(self._streams)
        """The same over WebSockets, for ``pods/exec``."""

    async def call(self, work: Call[T]) -> T:
        """Run ``work`` with the core API.

        Raises:
            KubernetesError: no answer in time, or a server error.
            AccessDeniedError: the token or its rights do not suffice.
            NotFoundError, AlreadyExistsError, StaleWriteError, RequestRefusedError: as answered.
        """
        with kube_errors():
            async with asyncio.timeout(self._timeout_s):
                return await work(self.core)

    async def send(
        self, operation: Callable[..., Awaitable[T]], *arguments: object, **options: object
    ) -> T:
        """Run one method of `core` with documents where it wants models.

        Raises:
            The same as `call`.
        """
        return await self.call(lambda _: operation(*arguments, **options))

    async def close(self) -> None:
        """Close every connection."""
        await self.client.close()
        await self._streams.close()


@contextmanager
def kube_errors() -> Iterator[None]:
    """Translate what the client library raises in the body."""
    try:
        yield
    except ApiException as err:
        raise error_of(int(err.status or 0), _message(err)) from err
    except aiohttp.WSServerHandshakeError as err:
        raise error_of(err.status, err.message) from err
    except TimeoutError as err:
        raise KubernetesError("the Kubernetes API did not answer in time") from err
    except (aiohttp.ClientError, OSError) as err:
        raise KubernetesError(f"the Kubernetes API is out of reach: {type(err).__name__}") from err


def error_of(status: int, message: str) -> SvcError:
    """Return the error that an answer with this HTTP status means."""
    text = f"Kubernetes: {message[:_REASON_LENGTH]}"
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return AccessDeniedError(text)
    if status == _NOT_FOUND:
        return NotFoundError(text)
    if status == _CONFLICT:
        return AlreadyExistsError(text) if "already exists" in message else StaleWriteError(text)
    if status in {0, _TOO_MANY} or status >= _SERVER_ERROR:
        return KubernetesError(text)
    return RequestRefusedError(text)


def _message(err: ApiException) -> str:
    try:
        document = msgspec.json.decode(err.body or "", type=dict)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return f"{err.status} {err.reason}"
    return str(document.get("message") or f"{err.status} {err.reason}")


@asynccontextmanager
async def open_kube(settings: KubernetesApiSettings) -> AsyncIterator[KubeApi]:
    """Yield the API and close its connections at the end.

    Raises:
        ConfigError: no API server is named and this is no pod, or the CA file cannot be read.
    """
    api = KubeApi(_configuration(settings), settings.timeout)
    try:
        yield api
    finally:
        await api.close()


def _configuration(settings: KubernetesApiSettings) -> Configuration:
    if not settings.ca_file.is_file():
        raise ConfigError(
            f"kubernetes: no CA file {settings.ca_file}; outside of a pod set `url`, `ca_file` "
            "and `token_file`"
        )
    # At debug level the client logs whole answers, and some of them are Secrets.
    logging.getLogger("kubernetes_asyncio").setLevel(logging.INFO)
    configuration = Configuration(host=settings.url or _own_cluster())
    configuration.ssl_ca_cert = str(settings.ca_file)
    configuration.api_key = {"BearerToken": ""}
    configuration.api_key_prefix = {"BearerToken": "Bearer"}

    def reread(current: Configuration) -> None:
        current.api_key["BearerToken"] = _token(settings.token_file)

    configuration.refresh_api_key_hook = reread
    return configuration


def _own_cluster() -> str:
    host, port = os.environ.get(_HOST), os.environ.get(_PORT)
    if not host or not port:
        raise ConfigError(f"kubernetes: no `url` is set and {_HOST} says this is no pod")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as err:
        raise AccessDeniedError(f"no service account token: {path}: {err.strerror}") from err
