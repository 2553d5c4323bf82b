"""The five benchmarks, each with what it measures on: servers of its own where it needs any."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.authority_run import bench_authority
from benchmarks.crypto import SLICE_S as CRYPTO_SLICE_S
from benchmarks.crypto import bench_crypto
from benchmarks.messages import SLICE_S as MESSAGES_SLICE_S
from benchmarks.messages import bench_messages
from benchmarks.report import BenchReport
from benchmarks.rounds import Plan
from benchmarks.swap import bench_swap, moves_of
from benchmarks.swap_place import Way
from benchmarks.swap_report import SwapPlan
from benchmarks.transport import SLICE_S as TRANSPORT_SLICE_S
from benchmarks.transport import TransportOrder, bench_transport
from console.bench_amounts import Amounts
from console.bench_authority_display import authority_tables
from console.bench_display import report_tables
from console.bench_openbao import open_bench_openbao
from console.bench_part import Found, Measure, Progress
from console.bench_servers import open_bench_servers
from console.bench_swap_display import swap_tables
from console.bench_swap_servers import open_swap_servers
from svc_core.crypto.algorithms import Algorithm


@dataclass(frozen=True, slots=True)
class Scale:
    """The manifest at scale that the authority is measured with beside the shipped one."""

    topics: int
    """0: leave it out."""
    services: int
    consumers: int
    """Of each topic."""


def crypto(seconds: float, repeats: int) -> Measure:
    """Return what measures every primitive."""

    async def measure(progress: Progress) -> Found:
        plan = Plan(seconds, repeats, CRYPTO_SLICE_S)
        return _found(await bench_crypto(plan, progress))

    return measure


def messages(seconds: float, repeats: int, algorithm: Algorithm) -> Measure:
    """Return what measures sealing and opening."""

    async def measure(progress: Progress) -> Found:
        plan = Plan(seconds, repeats, MESSAGES_SLICE_S)
        return _found(await bench_messages(plan, algorithm, progress))

    return measure


def transport(seconds: float, repeats: int, rate: float, algorithm: Algorithm) -> Measure:
    """Return what measures exchanges over NATS, ``rate`` a second in its timetable."""

    async def measure(progress: Progress) -> Found:
        plan = Plan(seconds, repeats, TRANSPORT_SLICE_S)
        async with open_bench_servers() as servers:
            order = TransportOrder(servers.plain, servers.secure, algorithm, rate)
            return _found(await bench_transport(plan, order, progress))

    return measure


def swap(plan: SwapPlan) -> Measure:
    """Return what measures what a stream of messages notices of a rotation."""

    async def measure(progress: Progress) -> Found:
        async with open_swap_servers(moves_of(plan), lambda text: progress(text, 0.0)) as servers:
            report = await bench_swap(plan, servers, progress)
        return Found(swap_tables(report), report.as_document(), report.targets)

    return measure


def authority(repeats: int, scale: Scale) -> Measure:
    """Return what measures the authority."""

    async def measure(progress: Progress) -> Found:
        progress("starting OpenBao", 0.0)
        async with open_bench_openbao() as shipped:
            large = replace(
                shipped,
                topics=scale.topics,
                services=scale.services,
                consumers=scale.consumers,
            )
            orders = [shipped, large] if scale.topics else [shipped]
            report = await bench_authority(orders, repeats, progress)
        return Found(authority_tables(report), report.as_document(), report.targets)

    return measure


def _found(report: BenchReport) -> Found:
    return Found(report_tables(report), report.as_document(), report.targets)


def every_part(amounts: Amounts) -> Sequence[tuple[str, Measure]]:
    """Return all five with their names."""
    repeats, ways = amounts.repeats, (Way.SWAP,) if amounts.only_swap else tuple(Way)
    algorithm = Algorithm.ML_DSA_65
    return (
        ("crypto", crypto(amounts.crypto_s, repeats)),
        ("messages", messages(amounts.messages_s, repeats, algorithm)),
        (
            "transport",
            transport(amounts.transport_s, repeats, amounts.exchanges, algorithm),
        ),
        ("swap", swap(SwapPlan(amounts.swaps, amounts.swap_rate, amounts.window_s, ways))),
        (
            "authority",
            authority(amounts.epochs, Scale(amounts.topics, amounts.services, amounts.consumers)),
        ),
    )
