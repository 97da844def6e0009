"""What happens in a simulation: all of it follows from the seed, unless somebody changes it."""

import random
from typing import Literal

import msgspec

from tests.faults.simulation.rates import Rates

Kind = Literal[
    "kill commander",
    "pause commander",
    "kill worker",
    "pause worker",
    "restart server",
    "forget scripts",
    "jump clock",
    "rebuild",
    "roll back",
]

KINDS: tuple[Kind, ...] = (
    "kill commander",
    "pause commander",
    "kill worker",
    "pause worker",
    "restart server",
    "forget scripts",
    "jump clock",
    "rebuild",
)
# Milliseconds of a lease in the simulation; pauses are up to a few of them.
LEASE_MS = 3_000
# How many of the views park.
PARKING = 0.1


class Mishap(msgspec.Struct, frozen=True):
    """Something that happens at a moment.

    Attributes:
        at: seconds of virtual time.
        number: of the process, where there are several; of a log that is rolled back, how many
            events the views have before.
        length: seconds of a pause or an outage; of a clock, by how much it jumps; of a log that is
            rolled back, until the workers start again.
    """

    at: float
    kind: Kind
    number: int
    length: float


class Plan(msgspec.Struct, frozen=True):
    """A whole simulation. ``chance`` begins each of its random rows, also after a change.

    ``parks`` is of a view that cannot apply withdrawals until all commands are done.
    """

    chance: int
    commanders: int
    workers: int
    commands: int
    aggregates: int
    partitions: int
    callers: int
    impatient: float
    shuffled: bool
    rates: Rates
    mishaps: tuple[Mishap, ...]
    parks: bool = False

    @property
    def rolls_back(self) -> bool:
        return any(mishap.kind == "roll back" for mishap in self.mishaps)


def plan_of(seed: int) -> Plan:
    """The simulation of a seed: some faults and not others, each now rare and now frequent."""
    chance = random.Random(f"plan {seed}")
    commanders, workers = chance.randint(1, 3), chance.randint(1, 2)
    rates = {
        name: chance.choice([0.002, 0.01, 0.03, 0.1]) if chance.random() < 0.4 else 0.0
        for name in Rates.__struct_fields__
    }
    kinds: list[Kind] = [kind for kind in KINDS if chance.random() < 0.4]
    mishaps = [
        _mishap(chance, kind, commanders, workers)
        for kind in kinds
        for _ in range(chance.randint(1, 2))
    ]
    commands = chance.randint(10, 40)
    if chance.random() < 0.06:
        mishaps.append(Mishap(0.05, "roll back", chance.randint(1, 8), chance.choice([0.1, 6.0])))
        commands += 30  # so that the log grows again beyond the place where the views stand
    return _parking(
        Plan(
            chance=seed,
            commanders=commanders,
            workers=workers,
            commands=commands,
            aggregates=chance.randint(1, 5),
            partitions=chance.randint(1, 3),
            callers=chance.randint(1, 4),
            impatient=chance.choice([0.0, 0.0, 0.1]),
            shuffled=chance.random() < 0.5,
            rates=Rates(**rates),
            mishaps=tuple(sorted(mishaps, key=lambda mishap: mishap.at)),
        ),
        chance,
    )


def _parking(plan: Plan, chance: random.Random) -> Plan:
    """Some of the plans, with a view that parks; what it parks must not be rolled back.

    Then there are several accounts of which many events wait, and a worker to take over.
    """
    if plan.rolls_back or chance.random() >= PARKING:
        return plan
    return msgspec.structs.replace(
        plan,
        parks=True,
        commands=plan.commands + 40,
        aggregates=max(plan.aggregates, 4),
        workers=2,
    )


def _mishap(chance: random.Random, kind: Kind, commanders: int, workers: int) -> Mishap:
    number = chance.randrange(workers if kind.endswith("worker") else commanders)
    longest = 1.5 * LEASE_MS / 1000
    length = chance.choice([0.01, 0.1, 1.0, longest]) * chance.uniform(0.5, 1.5)
    if kind == "jump clock":
        length = chance.choice([-60.0, -1.0, 1.0, 60.0])
    return Mishap(chance.choice([0.1, 1.0, 6.0]) * chance.random(), kind, number, length)
