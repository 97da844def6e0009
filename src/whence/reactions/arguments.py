"""A command's arguments as JSON, for a command that waits for its moment."""

from collections.abc import Mapping
from typing import Any

import msgspec

from whence.actors.model import CommandType
from whence.store.errors import InvalidCommand, shown

# What msgspec raises for objects it cannot take, beside its own errors.
_ENCODER_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError, ValueError)


def encode_arguments(command: CommandType, arguments: Mapping[str, Any]) -> bytes:
    """The arguments as ``command.decode`` will read them.

    Raises:
        InvalidCommand: they do not fit the command's parameters, or would not come back equal.
    """
    try:
        data = msgspec.json.encode(arguments)
    except _ENCODER_ERRORS as error:
        raise InvalidCommand(f"{command.name} cannot wait for its moment: {error}") from error
    stored = command.decode(data)
    if stored != arguments:
        raise InvalidCommand(
            f"{command.name} cannot wait for its moment: its arguments {shown(arguments)} would "
            f"come back as {shown(stored)}"
        )
    return data
