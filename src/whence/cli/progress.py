"""Progress bars, on stderr: what a command has to say stays alone on stdout."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click
from rich import progress
from rich.console import Console
from rich.text import Text


class _Rate(progress.ProgressColumn):
    """How many a second."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


# Seconds between two lines where there is no terminal.
_LINE_EVERY = 5.0


@contextmanager
def counting(what: str) -> Generator[Callable[[int, int], None]]:
    """Takes how many events are done, and how many there are.

    A bar on a terminal, with rate and time left; elsewhere a line every five seconds.
    """
    with counted() as bars:
        bar = bars.add_task(what, total=None)
        lines = _Lines(what)

        def on_progress(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)
            if bars.disable:
                lines.show(done, total)

        yield on_progress


class _Lines:
    """Progress where nobody watches a terminal: in the log of a deployment."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._before: tuple[float, int] | None = None

    def show(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before = now, done
        since, had = self._before
        if now - since < _LINE_EVERY:
            return
        self._before = now, done
        rate = (done - had) / (now - since)
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 else ""
        click.echo(f"{self._what}: {done:,} of {total:,} events, {rate:,.0f}/s{left}", err=True)


def counted() -> progress.Progress:
    """A bar towards a known end, with rate and time left; nothing where stderr is no terminal."""
    return _bars(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        _Rate(),
        progress.TimeRemainingColumn(),
    )


def endless() -> progress.Progress:
    """A count without a known end, with rate and time passed; the same."""
    return _bars(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}: {task.completed:,.0f}"),
        _Rate(),
        progress.TimeElapsedColumn(),
    )


def _bars(*columns: progress.ProgressColumn) -> progress.Progress:
    console = Console(stderr=True)
    return progress.Progress(*columns, console=console, disable=not console.is_terminal)
