"""T9: a replica that the network cuts off, through a proxy of the test's own."""

import asyncio
from collections import Counter

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.checker import check
from tests.faults.commander import Commander, Work
from tests.faults.domain import model
from tests.faults.history import Recorder, recorded
from tests.faults.killing import AGGREGATES, commanding, done_reaches
from tests.faults.log import log_of
from tests.faults.proxy import proxy_to
from tests.faults.violation import report
from tests.store.plain_server import PlainServer, eventually, plain_server
from whence import Runtime, open_store

COMMANDS = 300
PARTITIONS = 3
# Seconds for which nothing passes.
LONG = 1.0


def run(scale: Scale) -> Seen:
    """Cut the replica off under load, let it come back, and then lose the primary for good."""
    return asyncio.run(_run(scale))


async def _run(scale: Scale) -> Seen:
    path = scale.folder / "history"
    with (
        plain_server(scale.folder / "primary") as primary,
        plain_server(scale.folder / "replica") as replica,
    ):
        async with proxy_to(primary.url) as proxy:
            replica.ask("REPLICAOF", "127.0.0.1", int(proxy.url.rpartition(":")[2]))
            await asyncio.to_thread(eventually, lambda: _in_step(primary), "the replica")
            times = scale.of(PARTITIONS)
            with Recorder(path, "1") as recorder:
                async with (
                    open_store(primary.url, durability="replicated:1") as store,
                    Runtime(store, model) as runtime,
                ):
                    commander = Commander(runtime, recorder, Work(scale.seed, AGGREGATES))
                    async with commanding(commander) as work:
                        for _ in range(times):
                            more = commander.done + scale.of(COMMANDS, 50)
                            await done_reaches(commander, more, work)
                            proxy.lose_reply = proxy.lose_request = lambda _: True
                            await asyncio.sleep(LONG)
                            proxy.lose_reply = proxy.lose_request = lambda _: False
                            await asyncio.to_thread(eventually, lambda: _in_step(primary), "it")
        primary.kill()
        async with open_store(replica.url, durability="relaxed") as store:
            violations = check(recorded([path]), await log_of(store))
    outcomes = Counter(attempt.outcome for attempt in recorded([path]).attempts)
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items()))
    return Seen(
        times,
        f"{counts}; {len(violations)} violations in what the replica has",
        (report(violations),) if violations else (),
    )


def _in_step(primary: PlainServer) -> bool:
    return "online" in str(primary.ask("INFO", "replication"))


FAULT = Fault(
    "T9 partition of a replica",
    "A proxy between primary and replica lets nothing pass, then everything again, under load with "
    "durability replicated:1; in the end the primary is lost and the replica is examined.",
    "The replica has every acknowledged command.",
    "That commands are answered while the replica is cut off: their outcome may be unknown.",
    run,
)
