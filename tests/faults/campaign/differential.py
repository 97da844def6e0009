"""T14: fakeredis and Valkey are sent the same commands, and have to answer the same."""

import random
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from tests.faults.campaign.fault import Fault, Scale, Seen
from tests.faults.campaign.servers import valkey9
from tests.faults.simulation import world
from tests.faults.simulation.plan import Plan
from tests.faults.simulation.rates import Rates
from tests.faults.simulation.server import Server

SEEDS = 30
# Scripts ask for the time, which is not the same twice.
_CLOCK = b"redis.call('TIME')"
_MOMENT = b"{'1800000000', '0'}"
# Nobody has promised the order of their answers.
_UNORDERED = frozenset({"HSCAN", "HGETALL", "HKEYS", "KEYS"})
_FOLDERS = ("store", "projections")


class _Listening(Server):
    """Writes down every command that a simulation sends."""

    heard: list[list[bytes]]

    def execute(self, command: list[bytes]) -> Any:
        self.heard.append(command)
        return super().execute(command)


def run(scale: Scale) -> Seen:
    """Record what simulations send, then send it to both."""
    server = valkey9(scale.folder / "data")
    names: dict[str, int] = {}
    broken: list[str] = []
    count = scale.of(SEEDS, 2)
    try:
        with Redis.from_url(server.url, protocol=2) as client:  # pyright: ignore[reportUnknownMemberType]
            for seed in range(scale.seed, scale.seed + count):
                broken += _compared(client, _heard(seed), names)
    finally:
        server.stop()
    counts = ", ".join(f"{name} {number:,}" for name, number in sorted(names.items()))
    what = f"{sum(names.values()):,} commands: {counts}; {len(broken)} answers differed"
    return Seen(count, what, tuple(broken[:10]))


def _plan(seed: int) -> Plan:
    """Trouble, but none that depends on when a lease ends."""
    chance = random.Random(f"differential {seed}")
    rates = Rates(lost_request=0.01, lost_reply=0.01, repeated=0.02)
    return Plan(seed, 2, 1, 40, 5, chance.randint(1, 3), 3, 0.0, False, rates, ())


def _heard(seed: int) -> list[list[bytes]]:
    listening = _Listening()
    listening.heard = []
    world.simulate(_plan(seed), listening)
    return listening.heard


def _compared(client: "Redis", heard: list[list[bytes]], names: dict[str, int]) -> list[str]:
    client.flushall()  # pyright: ignore[reportUnknownMemberType]
    fake = Server()
    scripts: dict[bytes, bytes] = {}
    broken: list[str] = []
    for command in heard:
        name = command[0].decode().upper()
        if name in {"CLIENT", "PING"}:
            continue
        asked = _timeless(command, scripts)
        if asked is None:  # a script that the server did not know
            continue
        plain = [asked[0], asked[1].removeprefix(b"#!lua\n"), *asked[2:]]
        ours, theirs = _shape(fake.ask(*plain)), _shape(_asked(client, asked))
        if name in _UNORDERED:
            ours, theirs = sorted(map(repr, _flat(ours))), sorted(map(repr, _flat(theirs)))
        label = _script_of(asked) if name in {"EVAL", "EVALSHA"} else name
        names[label] = names.get(label, 0) + 1
        if ours != theirs:
            broken.append(f"{asked!r:.500}: fakeredis says {ours!r:.300}, Valkey {theirs!r:.300}")
    return broken


def _timeless(command: list[bytes], scripts: dict[bytes, bytes]) -> list[bytes] | None:
    """The same command without a clock and without waiting."""
    name = command[0].upper()
    if name == b"EVAL":
        sha = sha1(command[1], usedforsecurity=False).hexdigest().encode()
        scripts[sha] = command[1].replace(_CLOCK, _MOMENT)
        return [b"EVAL", scripts[sha], *command[2:]]
    if name == b"EVALSHA":
        source = scripts.get(command[1])
        return None if source is None else [b"EVAL", source, *command[2:]]
    if b"BLOCK" in command and name in {b"XREAD", b"XREADGROUP"}:
        place = command.index(b"BLOCK")
        return command[:place] + command[place + 2 :]
    return command


@cache
def _scripts() -> dict[str, str]:
    """Names of scripts by their text, as it is sent here."""
    root = Path(__file__).parents[3]
    files = [file for folder in _FOLDERS for file in (root / folder / "lua").glob("*.lua")]
    return {
        file.read_text().replace(_CLOCK.decode(), _MOMENT.decode()): file.name for file in files
    }


def _script_of(command: list[bytes]) -> str:
    return _scripts().get(command[1].decode(), "another script")


def _flat(reply: Any) -> list[Any]:
    if not isinstance(reply, list):
        return [reply]
    return [item for each in reply for item in _flat(each)]  # pyright: ignore[reportUnknownVariableType]


def _asked(client: "Redis", command: list[bytes]) -> Any:
    connection: Any = client.connection_pool.get_connection()  # pyright: ignore[reportUnknownMemberType]
    try:
        connection.send_command(*command)
        return connection.read_response()
    except ResponseError as error:
        return error
    finally:
        client.connection_pool.release(connection)


def _shape(reply: Any) -> Any:
    """A reply without what may differ: the words of an error, and how nothing is written."""
    if isinstance(reply, ResponseError):
        return type(reply).__name__
    if isinstance(reply, str):
        return reply.encode()
    if isinstance(reply, (list, tuple)):
        return [_shape(each) for each in reply] or None  # pyright: ignore[reportUnknownVariableType]
    return reply


FAULT = Fault(
    "T14 fakeredis against Valkey",
    "What simulations send, every script and command of it, is sent to fakeredis and to Valkey 9 "
    "and the answers are compared.",
    "Tests and simulations on fakeredis speak for the real server in what Whence uses.",
    "Persistence, memory limits, permissions and Cluster, which fakeredis does not have: other "
    "faults test those on real servers.",
    run,
)
