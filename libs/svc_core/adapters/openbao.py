"""OpenBao over hvac: one AppRole session, every call in a worker thread with a time-out.

hvac is synchronous; a bare call would stop the event loop for its whole duration, so calls run on
threads of their own (never the default executor, which a few slow calls would starve).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, TypeVar

import hvac
import requests
import stamina
from hvac import exceptions as hvac_errors

from svc_core.adapters.files import write_private
from svc_core.config import OpenBaoSettings
from svc_core.errors import (
    AccessDeniedError,
    ConfigError,
    NotFoundError,
    RequestRefusedError,
    SecretStoreError,
    StaleWriteError,
    SvcError,
)

T = TypeVar("T")
Call = Callable[[hvac.Client], T]

_THREADS: Final = 4
_ATTEMPTS: Final = 3
_UNKNOWN_ISSUER: Final = "unable to find"


class OpenBaoSession:
    """A logged-in AppRole session of one service."""

    def __init__(self, settings: OpenBaoSettings, role: str, executor: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._role = role
        self._executor = executor
        self._login_lock = asyncio.Lock()
        self._client: hvac.Client | None = None

    async def call(self, work: Call[T], *, idempotent: bool = False) -> T:
        """Run ``work`` with the session's client and translate what goes wrong.

        Args:
            work: uses the client synchronously; runs on a worker thread.
            idempotent: repeat up to three times when OpenBao does not answer.

        Raises:
            SecretStoreError: no answer in time, or a server error.
            AccessDeniedError: refused, also with a fresh login.
            NotFoundError, StaleWriteError, RequestRefusedError: as OpenBao answered.
        """
        attempts = _ATTEMPTS if idempotent else 1
        async for attempt in stamina.retry_context(
            on=SecretStoreError,
            attempts=attempts,
            timeout=self._settings.timeout.total_seconds() * attempts,
            wait_initial=0.05,
            wait_max=1.0,
        ):
            with attempt:
                return await self._call_with_login(work)
        raise SecretStoreError("OpenBao did not answer")

    async def _call_with_login(self, work: Call[T]) -> T:
        client = self._client or await self.login()
        try:
            return await self._run(client, work)
        except AccessDeniedError:
            # A token may have ended; a second refusal with a fresh one is the answer.
            return await self._run(await self.login(stale=client), work)

    async def login(self, *, stale: hvac.Client | None = None) -> hvac.Client:
        """Log in with the secret-id on disk, unless another caller just replaced ``stale``."""
        async with self._login_lock:
            if self._client is not None and self._client is not stale:
                return self._client
            role_id, secret_id = self._credentials()
            self._client = await self._login(role_id, secret_id)
            return self._client

    async def rotate_secret_id(self) -> None:
        """Replace the secret-id: make, log in with it, keep it on disk, then destroy the old one.

        The order leaves a working secret-id on disk at every instant.
        """
        role_id, old_secret_id = self._credentials()
        base = f"auth/approle/role/{self._role}"
        made = await self.call(lambda c: c.write_data(f"{base}/secret-id", data={}))
        looked_up = await self.call(
            lambda c: c.write_data(f"{base}/secret-id/lookup", data={"secret_id": old_secret_id})
        )
        fresh = str(made["data"]["secret_id"])
        async with self._login_lock:
            former, self._client = self._client, await self._login(role_id, fresh)
        await asyncio.to_thread(
            write_private, self._settings.secret_id_file, (fresh + "\n").encode()
        )
        if looked_up and looked_up.get("data"):
            accessor = looked_up["data"]["secret_id_accessor"]
            await self.call(
                lambda c: c.write_data(
                    f"{base}/secret-id-accessor/destroy", data={"secret_id_accessor": accessor}
                )
            )
        if former is not None:
            await self._run(former, lambda c: c.auth.token.revoke_self())

    async def log_out(self) -> None:
        """Revoke the session's token; no error when OpenBao is gone."""
        client, self._client = self._client, None
        if client is not None:
            try:
                await self._run(client, lambda c: c.auth.token.revoke_self())
            except SvcError:
                return

    async def _login(self, role_id: str, secret_id: str) -> hvac.Client:
        client = hvac.Client(
            url=self._settings.url,
            verify=str(self._settings.ca_file),
            timeout=self._settings.timeout.total_seconds(),
        )

        def work(fresh: hvac.Client) -> None:
            try:
                fresh.auth.approle.login(role_id=role_id, secret_id=secret_id)
            except hvac_errors.InvalidRequest as err:
                raise AccessDeniedError(f"OpenBao refused the AppRole {self._role!r}") from err

        await self._run(client, work)
        return client

    def _credentials(self) -> tuple[str, str]:
        try:
            return (
                self._settings.role_id_file.read_text().strip(),
                self._settings.secret_id_file.read_text().strip(),
            )
        except OSError as err:
            raise ConfigError(f"cannot read the AppRole credentials: {err}") from err

    async def _run(self, client: hvac.Client, work: Call[T]) -> T:
        loop = asyncio.get_running_loop()
        limit = self._settings.timeout + timedelta(seconds=1)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await loop.run_in_executor(self._executor, _translated, work, client)
        except TimeoutError as err:
            raise SecretStoreError("OpenBao did not answer in time") from err


def _translated(work: Call[T], client: hvac.Client) -> T:
    try:
        return work(client)
    except (hvac_errors.Forbidden, hvac_errors.Unauthorized) as err:
        raise AccessDeniedError("OpenBao: permission denied") from err
    except hvac_errors.InvalidPath as err:
        raise NotFoundError(f"OpenBao has nothing at {err.url or 'that path'}") from err
    except hvac_errors.InvalidRequest as err:
        if "check-and-set" in str(err):
            raise StaleWriteError("another writer was first") from err
        raise RequestRefusedError(f"OpenBao refused: {_reason(err)}") from err
    except hvac_errors.VaultError as err:
        if _UNKNOWN_ISSUER in str(err):
            raise NotFoundError(f"OpenBao: {_reason(err)}") from err
        raise SecretStoreError(f"OpenBao: {_reason(err)}") from err
    except requests.RequestException as err:
        raise SecretStoreError(f"OpenBao is out of reach: {type(err).__name__}") from err


def _reason(err: hvac_errors.VaultError) -> str:
    errors = err.errors or [type(err).__name__]
    return "; ".join(str(e) for e in errors)[:300]


@asynccontextmanager
async def open_openbao(settings: OpenBaoSettings, role: str) -> AsyncIterator[OpenBaoSession]:
    """Yield a session that logs in on first use and revokes its token at the end."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="openbao") as executor:
        session = OpenBaoSession(settings, role, executor)
        try:
            yield session
        finally:
            await session.log_out()
