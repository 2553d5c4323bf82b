"""Who is refused at the admin listener, and that each refusal is counted once, for its reason.

The table is the doctor's own, so this also proves that the doctor sees what is there.
"""

import ssl
from datetime import timedelta
from typing import Any

from console.doctor_cases import CASES, Kind, Shown
from console.doctor_examination import Finding, Verdict, examine, is_sound
from console.doctor_probe import Target
from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.tls import TlsMaterial
from tests.integration.svc_core.admin_listener import READER, Listener, listening
from tests.integration.svc_core.wallets import MemoryWallet
from tests.tls_materials import SOMEONE, new_issuer

ISSUER = new_issuer()
WALLET = MemoryWallet(ISSUER, good=READER, stranger=SOMEONE)
QUICK: dict[str, Any] = {"handshake_timeout": timedelta(seconds=1)}


def target_of(listener: Listener) -> Target:
    return Target("here", Kind.ADMIN, "127.0.0.1", listener.port)


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    return {finding.tried: finding.verdict for finding in findings}


async def test_everybody_who_should_be_is_refused_and_counted_once_for_the_reason() -> None:
    async with listening(ISSUER, **QUICK) as listener:
        findings = await examine(target_of(listener), WALLET)

    expected = {case.name: case.admin for case in CASES}
    assert verdicts(findings) == dict.fromkeys(expected, Verdict.OK), findings
    assert {f.tried: f.counted for f in findings} == {
        name: f"{e.counted} +1" if e.counted else "" for name, e in expected.items()
    }
    assert is_sound(findings)


async def test_a_listener_that_lets_everybody_in_is_found_out() -> None:
    def lax(material: TlsMaterial) -> ssl.SSLContext:
        context = server_context(material)
        # On purpose, in this test only: the listener that the examination has to find out.
        context.verify_mode = ssl.CERT_NONE
        context.num_tickets = 2
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    async with listening(ISSUER, **QUICK) as listener:
        identity = TlsIdentity(SystemClock(), lax, server=True)
        await identity.adopt(WALLET.show(Shown.SERVER))
        (await listener.identity.hot_context()).adopt(identity.context)
        findings = await examine(target_of(listener), WALLET)

    accepted = {name for name, verdict in verdicts(findings).items() if verdict is Verdict.ACCEPTED}
    assert accepted == {
        "a foreign authority of the same name",
        "an expired certificate",
        "a certificate that is not valid yet",
        "a server's certificate",
        "TLS 1.2",
        "a session of before",
    }
    assert not is_sound(findings)


async def test_a_listener_that_is_not_there_proves_nothing() -> None:
    findings = await examine(Target("nobody", Kind.ADMIN, "127.0.0.1", 1), WALLET)

    assert set(verdicts(findings).values()) == {Verdict.UNCLEAR}
    assert not is_sound(findings)


async def test_a_listener_we_do_not_trust_proves_nothing() -> None:
    stranger = MemoryWallet(new_issuer("ca-2-1"), good=READER, stranger=SOMEONE)
    async with listening(ISSUER, **QUICK) as listener:
        findings = await examine(target_of(listener), stranger)

    assert Verdict.OK not in verdicts(findings).values()
    assert not is_sound(findings)
