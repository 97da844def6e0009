"""Sending typed commands with options."""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from whence.actors.aggregate import Decision
from whence.actors.model import AnyAggregate, WriteModel
from whence.actors.receipt import Receipt
from whence.actors.request import CommandRequest
from whence.store.metadata import Metadata

A = TypeVar("A", bound=AnyAggregate)
P = ParamSpec("P")


class Sender:
    """``Runtime.send`` with options: made by ``Runtime.options``, which says what they mean."""

    def __init__(
        self,
        model: WriteModel,
        execute: Callable[[CommandRequest], Awaitable[Receipt]],
        *,
        expected: int | None,
        within: float | None,
        command_id: str,
        metadata: Metadata,
    ) -> None:
        self._model = model
        self._execute = execute
        self._expected = expected
        self._within = within
        self._command_id = command_id
        self._metadata = metadata

    async def send(
        self,
        command: Callable[Concatenate[A, P], Decision],
        id: str,  # noqa: A002  # what a reader of the call expects
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Receipt:
        """Send a command; raises like ``Runtime.execute``."""
        kind, spec = self._model.of_function(command)
        arguments = spec.named(args, kwargs)
        request = CommandRequest(
            kind,
            spec,
            id,
            arguments,
            self._expected,
            self._command_id,
            self._metadata,
            self._within,
        )
        return await self._execute(request)
