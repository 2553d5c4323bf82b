"""OpenBao over hvac: one AppRole session, every call in a worker thread with a time-out.

hvac is synchronous; a bare call would stop the event loop for its whole duration, so calls run on
threads of their own (never the default executor, which a few slow calls would starve).

What is repeated: everything that OpenBao certainly did not begin, and reads. A lost answer to
anything that makes something (a login, a leaf, a secret-id) is the caller's to judge.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import hvac
import stamina
from hvac import exceptions as hvac_errors

from svc_core.adapters.openbao_errors import (
    Call,
    CredentialRefusedError,
    LoginUnansweredError,
    NotExecutedError,
    T,
    repeatable,
    translated,
)
from svc_core.adapters.openbao_files import CredentialFiles
from svc_core.config import OpenBaoSettings
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import AccessDeniedError, NotFoundError, SecretStoreError, SvcError
from svc_core.ports.credentials import SecretId

_THREADS: Final = 4
_ATTEMPTS: Final = 3
_FAREWELL: Final = timedelta(seconds=1)
_ROTATION_MARK: Final = '{"made_by":"rotation"}'
"""The only metadata the policies let a service give a secret-id; the operator's have none."""


@dataclass(frozen=True, slots=True)
class _Login:
    """A client with a token, the life the token was granted, and when (loop time) to renew it."""

    client: hvac.Client
    lease: timedelta
    renew_at: float


class OpenBaoSession:
    """A logged-in AppRole session of one service; also its `AppRoleCredential`."""

    def __init__(self, settings: OpenBaoSettings, role: str, executor: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._role = role
        self._executor = executor
        self._files = CredentialFiles(settings)
        self._login_lock = asyncio.Lock()
        self._current: _Login | None = None

    async def call(self, work: Call[T], *, idempotent: bool = False) -> T:
        """Run ``work`` with the session's client and translate what goes wrong.

        Args:
            work: uses the client synchronously; runs on a worker thread.
            idempotent: repeat it also when OpenBao may have acted and the answer was lost. What
                OpenBao certainly did not begin is repeated in any case, three attempts in all.

        Raises:
            SecretStoreError: no answer in time, or a server error.
            AccessDeniedError: refused, also with a fresh login.
            NotFoundError, StaleWriteError, RequestRefusedError: as OpenBao answered.
        """
        async for attempt in stamina.retry_context(
            on=repeatable(idempotent=idempotent),
            attempts=_ATTEMPTS,
            timeout=self._settings.timeout.total_seconds() * _ATTEMPTS,
            wait_initial=0.05,
            wait_max=1.0,
        ):
            with attempt:
                return await self._call_with_login(work)
        raise SecretStoreError("OpenBao did not answer")

    async def _call_with_login(self, work: Call[T]) -> T:
        client = self._current.client if self._current else await self.login()
        try:
            return await self._run(client, work)
        except AccessDeniedError:
            if await self._is_alive(client):
                raise
            return await self._run(await self.login(stale=client), work)

    async def _is_alive(self, client: hvac.Client) -> bool:
        try:
            await self._run(client, lambda c: c.auth.token.lookup_self())
        except AccessDeniedError:
            return False
        return True

    async def login(self, *, stale: hvac.Client | None = None) -> hvac.Client:
        """Log in with the secret-id on disk, unless another caller just replaced ``stale``."""
        async with self._login_lock:
            if self._current is None or self._current.client is stale:
                self._current = await self._login(self._files.read_secret_id())
            if stale is not None and stale is not self._current.client:
                stale.adapter.close()
            return self._current.client

    async def fetch_renewal_due(self) -> timedelta:
        """Log in if that has not happened; return how long the token needs no renewal."""
        await self.login()
        due = self._current.renew_at if self._current else 0.0
        return timedelta(seconds=max(0.0, due - asyncio.get_running_loop().time()))

    async def renew_token(self) -> None:
        """Extend the token's life, or log in anew when it cannot be extended any more."""
        client = await self.login()
        try:
            lease = await self._run(client, lambda c: _lease(c.auth.token.renew_self()))
        except (AccessDeniedError, SecretStoreError):
            lease = timedelta(0)  # ended, or at the end of its longest life: that is a 500
        async with self._login_lock:
            current = self._current
            if current is None or current.client is not client:
                return  # replaced meanwhile, so it is fresh
            if lease > current.lease / 2:
                self._current = replace(current, renew_at=_half_way(lease))
                return
            # Near its longest life a token is granted less and less.
            self._current = await self._login(self._files.read_secret_id())
        await self._end(current)

    async def fetch_kept(self) -> SecretId | None:
        """Return the secret-id on disk; None when there is none that OpenBao knows."""
        if (kept := self._files.find_secret_id()) is None:
            return None
        path, body = self._path("secret-id/lookup"), {"secret_id": kept.reveal().decode()}
        found = await self.call(lambda c: c.write_data(path, data=body), idempotent=True)
        accessor = ((found or {}).get("data") or {}).get("secret_id_accessor")
        return SecretId(str(accessor), kept) if accessor else None

    async def make_secret_id(self) -> SecretId:
        """Have OpenBao make one more secret-id; those before it stay valid."""
        path, body = self._path("secret-id"), {"metadata": _ROTATION_MARK}
        made = (await self.call(lambda c: c.write_data(path, data=body)))["data"]
        value = SecretBytes(str(made["secret_id"]).encode())
        return SecretId(str(made["secret_id_accessor"]), value)

    async def adopt(self, secret_id: SecretId) -> None:
        """Log in with ``secret_id``, use that session from now on and end the former one."""
        await self._replace_login(secret_id.value)

    async def keep(self, secret_id: SecretId) -> None:
        """Write ``secret_id`` to disk for the next start: atomic, synced, mode 0600.

        Raises:
            CredentialNotKeptError: the disk did not take it.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._files.keep, secret_id.value)

    async def destroy(self, accessor: str) -> None:
        """Destroy the secret-id behind ``accessor``; no error when it is gone already."""
        path, body = self._path("secret-id-accessor/destroy"), {"secret_id_accessor": accessor}
        try:
            await self.call(lambda c: c.write_data(path, data=body), idempotent=True)
        except NotFoundError:
            return

    async def log_out(self) -> None:
        """Revoke the session's token; no error when OpenBao is gone."""
        former, self._current = self._current, None
        await self._end(former)

    async def _end(self, login: _Login | None) -> None:
        if login is None:
            return
        try:
            async with asyncio.timeout(_FAREWELL.total_seconds()):
                await self._run(login.client, lambda c: c.auth.token.revoke_self())
        except (SvcError, TimeoutError):
            return
        finally:
            login.client.adapter.close()

    async def _replace_login(self, secret_id: SecretBytes) -> None:
        async with self._login_lock:
            former, self._current = self._current, await self._login(secret_id)
        await self._end(former)

    async def _login(self, secret_id: SecretBytes) -> _Login:
        role_id = self._files.read_role_id()
        client = hvac.Client(
            url=self._settings.url,
            token="",  # or hvac takes one from the environment or the home directory
            verify=str(self._settings.ca_file),
            timeout=self._settings.timeout.total_seconds(),
        )

        def work(fresh: hvac.Client) -> timedelta:
            try:
                return _lease(fresh.auth.approle.login(role_id, secret_id.reveal().decode()))
            except hvac_errors.InvalidRequest as err:
                raise CredentialRefusedError(
                    f"OpenBao refused the AppRole {self._role!r} with {self._files.describe()}"
                ) from err

        try:
            lease = await self._run(client, work)
        except NotExecutedError:
            raise
        except SecretStoreError as err:
            raise LoginUnansweredError(str(err)) from err
        return _Login(client, lease, _half_way(lease))

    def _path(self, below: str) -> str:
        return f"auth/approle/role/{self._role}/{below}"

    async def _run(self, client: hvac.Client, work: Call[T]) -> T:
        loop = asyncio.get_running_loop()
        limit = self._settings.timeout + timedelta(seconds=1)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await loop.run_in_executor(self._executor, translated, work, client)
        except TimeoutError as err:
            raise SecretStoreError("OpenBao did not answer in time") from err


def _lease(answer: dict[str, dict[str, int]]) -> timedelta:
    return timedelta(seconds=answer["auth"]["lease_duration"])


def _half_way(lease: timedelta) -> float:
    return asyncio.get_running_loop().time() + lease.total_seconds() / 2


@asynccontextmanager
async def open_openbao(settings: OpenBaoSettings, role: str) -> AsyncIterator[OpenBaoSession]:
    """Yield a session that logs in on first use and revokes its token at the end."""
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="openbao")
    session = OpenBaoSession(settings, role, executor)
    try:
        yield session
    finally:
        await session.log_out()
        # Without waiting: a call that never ends must not hold up the event loop.
        executor.shutdown(wait=False, cancel_futures=True)
