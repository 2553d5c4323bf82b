"""One OpenBao on this machine: configuration, start, initialisation, unsealing, root tokens.

Storage is raft with a single node; the unseal key is a file of mode 0600 beside it. The listener
is TLS with a CA of its own (`devstack.listener_ca`).
"""

import asyncio
import base64
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from devstack.children import Child, Program
from devstack.conditions import Probe, wait_until
from devstack.endpoints import Endpoints
from devstack.errors import StackDamagedError
from devstack.layout import Layout
from devstack.listener_ca import ensure_listener_tls
from devstack.openbao_api import OpenBaoApi
from devstack.openbao_files import OpenBaoFiles
from devstack.processes import Supervisor
from devstack.programs import find_openbao, unprivileged_account
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import SecretStoreError, SvcError

NAME: Final = "openbao"
STAGE: Final = 0

_STOP_WITHIN: Final = timedelta(seconds=2)
_START_WITHIN: Final = timedelta(seconds=30)
_AUDIT_LIMIT: Final = 64 << 20
_AUDIT_CHECK_S: Final = 30.0
_USABLE: Final = 200
_UNINITIALISED: Final = 501
_SEALED: Final = 503


class OpenBaoServer:
    """The OpenBao of one stack: prepared once, started, unsealed at every restart."""

    def __init__(self, layout: Layout, endpoints: Endpoints, supervisor: Supervisor) -> None:
        self.files = OpenBaoFiles(layout.openbao)
        self._layout = layout
        self._endpoints = endpoints
        self._supervisor = supervisor
        self._api: OpenBaoApi | None = None

    @property
    def child(self) -> Child:
        """The running process."""
        return self._supervisor.children[NAME]

    def prepare(self) -> None:
        """Make directories, TLS and configuration.

        Raises:
            StackDamagedError: there is data of a finished bootstrap, but no key to unseal it.
            MissingProgramError: OpenBao is not installed.
        """
        files = self.files
        self._layout.pinned.mkdir(parents=True, exist_ok=True)
        files.directory.mkdir(parents=True, exist_ok=True)
        if not files.unseal_key.exists():
            if files.bootstrap_mark.exists():
                raise StackDamagedError(f"{files.unseal_key} is missing")
            # Whatever an interrupted first start stored cannot be unsealed by anyone.
            shutil.rmtree(files.data, ignore_errors=True)
        for directory in (files.data, files.tls, files.audit):
            make_private_directory(directory)
        authority_key = make_private_directory(self._layout.operator) / "openbao-ca-key.pem"
        ensure_listener_tls(
            files.tls, self._layout.openbao_ca, authority_key, now=datetime.now(UTC)
        )
        if self.files.audit_file.exists():
            _shift(self.files.audit_file)

    async def start(self, api: OpenBaoApi) -> SecretBytes | None:
        """Start and unseal; at the first start of all, also initialise.

        Returns:
            The initial root token at the first start, else None.

        Raises:
            StackStartError: it did not become usable.
        """
        self._api = api
        self._launch(root_is_closed=True)
        await self._wait_for_listener(api)
        token = await self._initialise(api) if await api.health() == _UNINITIALISED else None
        await self._unseal(api)
        return token

    async def make_root_token(self, api: OpenBaoApi) -> SecretBytes:
        """Make a root token from the unseal key; the caller revokes it and calls `close_root`.

        OpenBao keeps the endpoint closed, so it is restarted with the endpoint open.
        """
        await self._supervisor.stop(NAME)
        self._launch(root_is_closed=False)
        await self._wait_for_listener(api)
        await self._unseal(api)
        attempt = await api.call("PUT", "sys/generate-root/attempt", {})
        proof = {"key": self._unseal_key(), "nonce": attempt["nonce"]}
        answer = await api.call("PUT", "sys/generate-root/update", proof)
        encoded = str(answer["encoded_token"])
        masked = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
        mask = str(attempt["otp"]).encode()
        return SecretBytes(bytes(a ^ b for a, b in zip(masked, mask, strict=True)))

    async def close_root(self, api: OpenBaoApi) -> None:
        """Restart with the endpoint for root tokens closed again."""
        await self._supervisor.stop(NAME)
        self._launch(root_is_closed=True)
        await self._wait_for_listener(api)
        await self._unseal(api)

    async def keep_audit_file_small(self) -> None:
        """Begin a new audit file whenever the present one is too large; runs for ever."""
        while True:
            await asyncio.sleep(_AUDIT_CHECK_S)
            if self.files.audit_file.stat().st_size > _AUDIT_LIMIT:
                self.shift_audit_file()

    def shift_audit_file(self) -> None:
        """Begin a new audit file; one former file is kept."""
        _shift(self.files.audit_file)
        self._supervisor.kill(NAME, signal.SIGHUP)

    def _launch(self, *, root_is_closed: bool) -> None:
        files = self.files
        program = find_openbao()
        files.write_config(self._endpoints.openbao, root_is_closed=root_is_closed)
        account = unprivileged_account(program, files.data)
        if account is not None:
            files.hand_over(account)
        self._supervisor.start(
            Program(
                name=NAME,
                argv=(str(program), "server", f"-config={files.config}"),
                log_file=files.directory / "openbao.log",
                directory=files.directory,
                environment={"HOME": str(files.data)},
                stage=STAGE,
                stop_within=_STOP_WITHIN,
                account=account,
                after_restart=self._recover,
            )
        )

    async def _recover(self) -> None:
        if self._api is None:
            raise SecretStoreError("OpenBao died before it was first usable")
        await self._wait_for_listener(self._api)
        await self._unseal(self._api)

    async def _wait_for_listener(self, api: OpenBaoApi) -> None:
        async def answers() -> bool:
            return await api.health() is not None

        await self._wait(answers, "OpenBao's listener")

    async def _initialise(self, api: OpenBaoApi) -> SecretBytes:
        answer = await api.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        write_private(self.files.unseal_key, str(answer["keys"][0]).encode())
        return SecretBytes(str(answer["root_token"]).encode())

    async def _unseal(self, api: OpenBaoApi) -> None:
        async def is_usable() -> bool:
            status = await api.health()
            if status == _SEALED:
                # It may still be loading its storage: refused now, accepted in a moment.
                try:
                    await api.call("PUT", "sys/unseal", {"key": self._unseal_key()})
                except SvcError:
                    return False
            return status == _USABLE

        await self._wait(is_usable, "OpenBao")

    async def _wait(self, probe: Probe, part: str) -> None:
        await wait_until(probe, within=_START_WITHIN, part=part, involved=[self.child])

    def _unseal_key(self) -> str:
        return self.files.unseal_key.read_text().strip()


def _shift(audit_file: Path) -> None:
    audit_file.replace(audit_file.with_name("audit.previous.log"))
