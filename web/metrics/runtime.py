"""What the actors of a process do."""

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric

from whence.actors.metrics import Distribution, TypeMetrics
from whence.actors.runtime import Runtime
from whence.web.metrics.families import Labels, counter, gauge, histogram

_LABELS = ("aggregate",)


class RuntimeSource:
    """The commands and the live actors, by type of aggregate; asks nobody."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def families(self) -> Iterable[Metric]:
        found = self._runtime.metrics()
        types = found.types

        def each(value: Callable[[TypeMetrics], float]) -> dict[Labels, float]:
            return {(name,): value(one) for name, one in types.items()}

        outcomes: dict[Labels, float] = {
            (name, outcome): float(times)
            for name, one in types.items()
            for outcome, times in one.commands.items()
        }
        decided: dict[Labels, Distribution] = {
            (name,): one.decide_seconds for name, one in types.items()
        }
        rows: dict[Labels, Distribution] = {
            (name,): one.row_commands for name, one in types.items()
        }
        return [
            gauge(
                "whence_live_actors",
                "Aggregates in memory.",
                each(lambda one: one.live_actors),
                _LABELS,
            ),
            gauge(
                "whence_live_actors_bytes",
                "What their states take in memory, by an estimate.",
                each(lambda one: one.live_bytes),
                _LABELS,
            ),
            gauge(
                "whence_waiting_commands",
                "Commands without an answer.",
                each(lambda one: one.mailbox_total),
                _LABELS,
            ),
            gauge(
                "whence_fullest_mailbox_commands",
                "Commands without an answer of the one aggregate that has most of them.",
                each(lambda one: one.mailbox_max),
                _LABELS,
            ),
            counter(
                "whence_commands",
                "Commands by what became of them.",
                outcomes,
                (*_LABELS, "outcome"),
            ),
            histogram(
                "whence_command_decide_seconds",
                "Time that the domain took to decide a command.",
                decided,
                _LABELS,
            ),
            histogram(
                "whence_row_commands", "Commands of one aggregate decided in a row.", rows, _LABELS
            ),
            counter(
                "whence_conflicts",
                "Times that another process had written first.",
                each(lambda one: one.conflicts),
                _LABELS,
            ),
            counter(
                "whence_retries",
                "Times that a row was decided anew.",
                each(lambda one: one.retries),
                _LABELS,
            ),
            counter(
                "whence_loads",
                "Times that a state was loaded from its events.",
                each(lambda one: one.loads),
                _LABELS,
            ),
            counter(
                "whence_passivations",
                "Aggregates that were let go out of memory.",
                each(lambda one: one.passivations),
                _LABELS,
            ),
            histogram(
                "whence_append_call_appends",
                "Appends that shared one call to the store.",
                {(): found.call_appends},
            ),
            histogram(
                "whence_look_streams",
                "Aggregates that shared one look for newer events.",
                {(): found.look_streams},
            ),
        ]
