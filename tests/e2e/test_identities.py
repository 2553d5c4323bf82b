"""Identities are replaced under load: Metadata's by a list, those of services at a restart."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from devstack.identities import add_identity, instance_in, remove_identity
from devstack.layout import SERVICES, metadata_replicas
from services.metadata.domain.lease import LeaseTimes
from svc_core.adapters.files import write_private
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, WATCHER, ServiceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import CA_CERT
from svc_core.flows.statements import Author
from svc_core.wire import desired, documents
from tests.chaos.verdicts import as_metadata, journal, log_fault, read_log
from tests.e2e.loaded_stack import BRISK, LoadedStack, SharedStack, open_loaded_stack
from tests.e2e.outsider import as_service
from tests.e2e.waiting import until

REPLICAS: Final = metadata_replicas(2)
EVERYBODY: Final = (*SERVICES, *REPLICAS[1:])
PATIENCE_S: Final = LeaseTimes.of(BRISK).patience.total_seconds()
TAKES_OVER_WITHIN_S: Final = PATIENCE_S + 25
WITHIN_S: Final = 40.0
SIGNED_WITHIN_S: Final = 75.0
"""Two CA periods, and some: a checkpoint follows each rotation."""
NEW: Final = "metadata-3"
KEPT: Final = ("instance", "identity.seed", "kem.seed")


@pytest.fixture(scope="module")
def stack(shared_stack: SharedStack) -> Iterator[LoadedStack]:
    """A stack with two replicas, which has the machine for itself."""
    shared_stack.end()
    with open_loaded_stack(profile=BRISK, metadata_replicas=len(REPLICAS)) as loaded:
        yield loaded


@pytest.mark.timeout(240)
async def test_a_new_identity_takes_over_and_the_former_is_refused(stack: LoadedStack) -> None:
    order = stack.order_load("identities")
    await stack.answers_again(order, after=order.starts_at)
    former = await holder(stack)
    replica = next(r for r in REPLICAS if instance_in(stack.layout, r) == former)

    # So that there is something of it in the log that must still be verified without it.
    await until(lambda: has_signed(stack, former), within_s=SIGNED_WITHIN_S, what="a checkpoint")
    added = add_identity(stack.layout, NEW, replica=replica)
    await followed(stack, added.version)
    start_anew_as(stack, replica, former, NEW)
    await passed_on(stack, former)
    await until(lambda: stack.stack.is_ready(replica), within_s=WITHIN_S, what=f"{NEW} ready")
    removed = remove_identity(stack.layout, former)
    await followed(stack, removed.version)
    await forge(stack, replica, former)
    await until(lambda: is_refused(stack, former), within_s=WITHIN_S, what="refusals")
    await stack.next_rotation(since=datetime.now(UTC))

    assert await log_fault(stack.layout) is None
    await stack.answers_again(order, after=datetime.now(UTC))
    stack.order_load("standing")
    traffic = await stack.account(order)
    assert not traffic.lost
    assert not traffic.duplicated
    assert traffic.acked


@pytest.mark.timeout(180)
@pytest.mark.parametrize("service", [GATEKEEPER, AUTHCONTROLLER])
async def test_an_instance_whose_keys_are_too_old_comes_back_as_another_one(
    stack: LoadedStack, service: ServiceName
) -> None:
    order = stack.order_load(f"aged-{service}")
    await stack.answers_again(order, after=order.starts_at)
    state = stack.layout.service(service) / "state"
    before = {name: (state / name).read_bytes() for name in KEPT}
    aged = datetime.now(UTC) - timedelta(days=31)

    write_private(state / "made_at", aged.isoformat().encode())
    stack.stack.kill(service, signal.SIGKILL)
    await until(
        lambda: (
            (state / "instance").read_bytes() != before["instance"]
            and not (state / "former").exists()
        ),
        within_s=WITHIN_S,
        what=f"new keys of {service}, registered",
    )
    await until(lambda: stack.stack.is_ready(service), within_s=WITHIN_S, what=f"{service} ready")

    assert all((state / name).read_bytes() != content for name, content in before.items())
    async with as_metadata(stack.layout) as api:
        names = await api.call("LIST", f"secret/metadata/identities/{service}")
    assert {before["instance"].decode(), (state / "instance").read_text()} <= set(
        names["data"]["keys"]
    )
    await stack.answers_again(order, after=datetime.now(UTC))
    stack.order_load("standing")
    traffic = await stack.account(order)
    assert not traffic.lost
    assert not traffic.duplicated
    assert traffic.acked


async def holder(stack: LoadedStack) -> str:
    """Return the instance that the journal names."""
    async with as_metadata(stack.layout) as api:
        name: str = (await journal(api))["lease"]["holder"]
    return name


async def has_signed(stack: LoadedStack, name: str) -> bool:
    """Say whether the audit log has a checkpoint of ``name``."""
    signers = [
        (entry.get("checkpoint") or {}).get("signer") for entry in await read_log(stack.layout)
    ]
    return name in signers


async def passed_on(stack: LoadedStack, former: str) -> None:
    async def has_passed() -> bool:
        return await holder(stack) != former

    await until(has_passed, within_s=TAKES_OVER_WITHIN_S, what=f"a successor of {former}")


async def followed(stack: LoadedStack, version: int) -> None:
    """Wait until every process says of itself that this list is in force."""

    async def is_followed() -> bool:
        for name in EVERYBODY:
            answer = await stack.stack.admin_get(name, "/readyz")
            loop = json.loads(answer.text)["loops"]["identity_following"]
            if not loop["detail"].startswith(f"version {version}: "):
                return False
        return True

    await until(is_followed, within_s=WITHIN_S, what=f"version {version} of the list everywhere")


def start_anew_as(stack: LoadedStack, replica: str, former: str, name: str) -> None:
    """Kill a replica, whose next start is under another name."""
    configuration = stack.layout.service(replica) / "config.yaml"
    text = configuration.read_text()
    assert f"instance: {former}\n" in text
    changed = text.replace(f"instance: {former}\n", f"instance: {name}\n")
    write_private(configuration, changed.encode())
    stack.stack.kill(replica, signal.SIGKILL)


async def forge(stack: LoadedStack, replica: str, former: str) -> None:
    """Announce a later state with the seed that was put aside, as Metadata's own NATS user."""
    seed = (stack.layout.service(replica) / "state" / "identity.seed.former").read_bytes()
    author = Author(former, Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed)))
    async with as_service(stack.layout, METADATA) as metadata:
        body = documents.decode((await metadata.read_ca_message()).data).body
        state = desired.decode(body)
        later = desired.encode(replace(state, version=state.version + 1000))
        document = await author.sign(later, context=contexts.DESIRED_STATE)
        assert await metadata.may_publish(CA_CERT, documents.encode(document))


def is_refused(stack: LoadedStack, former: str) -> bool:
    """Say whether Watcher has refused the state by the name of its signer."""
    lines = stack.layout.log_of(WATCHER).read_text().splitlines()
    refused = [json.loads(line) for line in lines if '"desired.bus_refused"' in line]
    return any(e["code"] == "identity.refused" and former in e["reason"] for e in refused)
