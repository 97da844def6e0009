"""The addresses of one kind of aggregate: its commands, and what can be read of it."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from whence.actors.model import AggregateType
from whence.store.errors import UnknownCommand
from whence.web.commands import Commands, url_name
from whence.web.history import History

Read = Callable[[Request, str], Awaitable[Response]]

_READS = ("GET", "HEAD")


class AggregateBranch:
    """``/orders/42``, and below it a command to POST or a part of its history to GET.

    A command that is POSTed to ``/orders/place`` makes a new aggregate; what is read there is the
    one whose id is "place".
    """

    def __init__(self, kind: AggregateType, commands: Commands, history: History) -> None:
        self._kind = kind
        self._commands = {url_name(name): spec for name, spec in kind.commands.items()}
        self._run = commands.run
        self._create = commands.create
        self._state = history.state
        self._reads: dict[str, Read] = {"events": history.events, "why": history.why}

    async def __call__(self, request: Request, path: Sequence[str]) -> Response:
        command, read = None, None
        match path:
            case [id_, name]:
                command, read = self._commands.get(name), self._reads.get(name)
                if command is None and read is None:
                    raise UnknownCommand(self._kind.name, name, sorted(self._commands))
            case [id_]:
                command, read = self._commands.get(id_), self._state
            case _:
                raise HTTPException(404)
        if command is not None and request.method == "POST":
            if read is self._state:
                return await self._create(request, command)
            return await self._run(request, id_, command)
        if read is not None and request.method in _READS:
            return await read(request, id_)
        allowed = [*(_READS if read else ()), *(("POST",) if command else ())]
        raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
