import asyncio, os, time
from tests.integration.svc_core.test_nats_swapping import *
from tests.integration.svc_core.conftest import *
from tests.integration.conftest import *

async def test_probe(declared, openbao):
    asker, answerer = Leaf(openbao, declared, GATEKEEPER), Leaf(openbao, declared, AUTHCONTROLLER)
    busy = Traffic(f"swapped{os.getpid()}")
    loop = asyncio.get_running_loop()
    ev = []
    stop = False
    async def ticker():
        last = loop.time()
        while True:
            await asyncio.sleep(0.01)
            now = loop.time()
            if now-last > 0.15: ev.append((now, f"LAG {now-last:.3f}"))
            last = now
    async with (
        connected(declared, GATEKEEPER, credentials=asker.credentials) as gatekeeper,
        connected(declared, AUTHCONTROLLER, credentials=answerer.credentials) as authcontroller,
    ):
        async with busy.consumed(authcontroller), asyncio.TaskGroup() as group:
            t = group.create_task(ticker())
            publishing = group.create_task(busy.publish(gatekeeper, COUNT, rate=RATE))
            swaps = 0
            while not publishing.done() and swaps < SWAPS:
                for n,leaf, connection in (("gk",asker, gatekeeper), ("ac",answerer, authcontroller)):
                    t0=loop.time()
                    await leaf.renew()
                    t1=loop.time()
                    await connection.swap()
                    ev.append((t1, f"{n} renew {t1-t0:.3f} swap {loop.time()-t1:.3f} {connection._current.url}"))
                swaps += 1
            await publishing
            await busy.wait_for(COUNT, within_s=20)
            t.cancel()
    a = sorted(busy.arrived_at)
    for x,y in zip(a,a[1:]):
        if y-x>0.1: ev.append((x, f"GAP {y-x:.3f}"))
    for e in sorted(ev): print(f"{e[0]-a[0]:.3f}", e[1])
