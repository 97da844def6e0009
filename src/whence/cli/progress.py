"""Progress bars, on stderr: what a command has to say stays alone on stdout."""

from rich import progress
from rich.console import Console
from rich.text import Text


class _Rate(progress.ProgressColumn):
    """How many a second."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "")


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
