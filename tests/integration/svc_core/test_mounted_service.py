"""A service whose certificate somebody else mounts: it starts with it and follows it."""

from datetime import timedelta
from pathlib import Path

from devstack.conditions import wait_until
from svc_core.domain.identity import AUTHCONTROLLER
from svc_core.domain.tls import TlsMaterial
from tests.integration.background import complete
from tests.integration.bare_stack import PROFILE, RunningOpenBao, issue_client
from tests.integration.svc_core import test_service_process as processes
from tests.unit.svc_core.adapters.test_mounted_files import Kubelet

authority = processes.authority
FOLLOWS_WITHIN = timedelta(seconds=5)


def issued(openbao: RunningOpenBao) -> TlsMaterial:
    """Return a leaf as cert-manager would have it issued."""
    leaves: list[TlsMaterial] = []

    async def issue() -> None:
        async with openbao.logged_in(AUTHCONTROLLER) as session:
            leaves.append(await issue_client(session, AUTHCONTROLLER, ""))

    complete(issue)
    return leaves[0]


def mount(kubelet: Kubelet, leaf: TlsMaterial) -> None:
    kubelet.write(tls_crt=leaf.chain_pem.encode(), tls_key=leaf.key_pem.reveal())


def test_a_mounted_certificate_is_used_from_the_start_and_followed(
    authority: RunningOpenBao, tmp_path: Path
) -> None:
    kubelet = Kubelet(tmp_path / "tls")
    first, second = issued(authority), issued(authority)
    mount(kubelet, first)
    config = processes.configuration(authority, profile=PROFILE.name)
    config.write_text(f"{config.read_text()}mounted_tls_dir: {tmp_path / 'tls'}\n")
    in_use = authority.layout.service(AUTHCONTROLLER) / "tls" / "cert.pem"

    def follows(leaf: TlsMaterial, within: timedelta) -> None:
        async def is_used() -> bool:
            return in_use.exists() and in_use.read_text().startswith(leaf.chain_pem)

        async def wait() -> None:
            await wait_until(is_used, within=within, part=lambda: "the mounted certificate")

        complete(wait)

    with processes.service(config):
        follows(first, processes.STARTS_WITHIN)
        mount(kubelet, second)
        follows(second, FOLLOWS_WITHIN)
