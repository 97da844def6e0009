"""T1: kill -9 of the server."""

import asyncio
from collections import Counter

from tests.faults.campaign.fault import Fault, Scale, Seen, skipped
from tests.faults.campaign.servers import Start, has_redis, redis7, valkey9
from tests.faults.killing import killed
from tests.faults.violation import report

KILLS = 100
BETWEEN = 100


def _run(start: Start, scale: Scale) -> Seen:
    kills = scale.of(KILLS, 3)
    data, path = scale.folder / "data", scale.folder / "history"
    found = asyncio.run(killed(lambda: start(data), kills, scale.seed, path, between=BETWEEN))
    outcomes = Counter(attempt.outcome for attempt in found.history.attempts)
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items()))
    broken = (report(found.violations),) if found.violations else ()
    lost = len(found.violations)
    return Seen(
        kills,
        f"{len(found.history.attempts):,} commands ({counts}) and {len(found.history.reads):,} "
        f"reads; {lost} violations",
        broken,
    )


def on_valkey(scale: Scale) -> Seen:
    return _run(valkey9, scale)


def on_redis(scale: Scale) -> Seen:
    if not has_redis():
        return skipped("this machine has no redis-server (apt-get install redis-server)")
    return _run(redis7, scale)


_PROMISED = (
    "An acknowledged command is there once, at its version and position; a command without an "
    "answer is there whole or not at all; no reader saw what later vanished."
)
_NOT = "That a command under way is answered: its outcome may be unknown to its caller."
_DONE = "kill -9 under 32 callers on 100 accounts, every 100 commands; started again each time."

VALKEY = Fault("T1 kill -9, Valkey 9", _DONE, _PROMISED, _NOT, on_valkey)
REDIS = Fault("T1 kill -9, Redis 7", _DONE, _PROMISED, _NOT, on_redis)
