"""``python -m bench.peers``: one JSON line per peer, ratio = ours / theirs.

Both sides write to the same disk before they acknowledge. A round measures every setting of both
sides, and the best ones count; the line is of the round with the median ratio.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.figure import server
from bench.peers import ours
from bench.peers.peer import NotHere, measured
from bench.peers.postgres import postgres
from bench.peers.uma import uma
from whence.cli.running import relax_gc

ROUNDS = 5

# Measures a peer once, in a folder of its own.
Theirs = Callable[[Path], dict[str, float]]


class Line(msgspec.Struct, frozen=True):
    """``value`` is theirs and ``ours`` ours, in commands/s, each at the setting named beside it."""

    bench: str
    value: float
    setting: str
    ours: float
    our_setting: str
    ratio: float
    demanded: float
    durability: str


class Missing(msgspec.Struct, frozen=True):
    bench: str
    missing: str


class Peer(msgspec.Struct, frozen=True):
    name: str
    durability: str
    demanded: float
    measure: Theirs


def on_postgres(folder: Path) -> dict[str, float]:
    with postgres(folder) as environment:
        return measured("sql.py", env=environment)


def on_sqlite(folder: Path) -> dict[str, float]:
    name = str(folder / "events.db")
    return measured(
        "sql.py", env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": name}
    )


def on_uma(folder: Path) -> dict[str, float]:
    with uma(folder) as url:
        return measured("uma.py", url)


PEERS = (
    Peer("eventsourcing on PostgreSQL", "synchronous_commit=on", 10, on_postgres),
    Peer("eventsourcing on SQLite", "WAL, synchronous=FULL", 10, on_sqlite),
    Peer("UmaDB", "synchronous mode, the default", 3, on_uma),
)


def lines(peers: tuple[Peer, ...] = PEERS) -> Iterator[Line | Missing]:
    for peer in peers:
        try:
            rounds = [_round(peer) for _ in range(ROUNDS)]
        except NotHere as reason:
            yield Missing(peer.name, str(reason))
        else:
            yield sorted(rounds, key=lambda line: line.ratio)[ROUNDS // 2]


def _round(peer: Peer) -> Line:
    os.sync()  # neither side pays for what the one before has left to be written
    with _folder() as folder:
        setting, value = _best(peer.measure(folder))
    os.sync()
    with server("always") as running:  # as empty as theirs
        our_setting, our_value = _best(ours.measure(running.url))
    return Line(
        bench=f"peers, {peer.name}",
        value=round(value, 1),
        setting=setting,
        ours=round(our_value, 1),
        our_setting=our_setting,
        ratio=round(our_value / value, 1),
        demanded=peer.demanded,
        durability=f"on disk before acknowledged: {peer.durability}; ours: appendfsync always",
    )


def _best(results: dict[str, float]) -> tuple[str, float]:
    setting = max(results, key=results.__getitem__)
    return setting, results[setting]


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="whence-peers-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    relax_gc()  # as whence web does
    for line in lines():
        print(msgspec.json.encode(line).decode(), flush=True)
