"""A command on its way to the runtime, as data."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from whence.actors.model import AggregateType, CommandType
from whence.store.metadata import NO_METADATA, Metadata


class CommandRequest(NamedTuple):
    """A command for one aggregate.

    Attributes:
        arguments: by parameter name, already of the right types (``CommandType.decode``).
        expected: the version the caller has seen; None leaves that to the runtime.
        command_id: stored with each of its events; made here if empty. One that the caller gives is
            remembered: the same command again, under the same id, gets the original answer and
            stores nothing. A command that was refused, or decided nothing, is decided anew.
        metadata: stored with each of its events.
        within: seconds in which it has to be decided, behind all middleware, or else it is
            dropped; None sets no limit. Once it is decided and goes to the store, its caller waits
            for what became of it.
    """

    kind: AggregateType
    command: CommandType
    id: str
    arguments: Mapping[str, Any]
    expected: int | None = None
    command_id: str = ""
    metadata: Metadata = NO_METADATA
    within: float | None = None

    @property
    def fingerprint(self) -> str:
        """What tells it from another command under the same command id."""
        asked = (self.command.name, self.arguments)
        return sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()[:32]
