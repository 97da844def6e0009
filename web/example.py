"""A first request to paste: the first command of a domain, with arguments made up for it."""

import shlex
from typing import Any

import msgspec
from msgspec import inspect

from whence.actors.model import AggregateType, CommandType
from whence.domain import Domain
from whence.store.errors import InvalidCommand
from whence.web.commands import url_name


def first_command(domain: Domain) -> tuple[AggregateType, CommandType] | None:
    """The command that stands first in the class of the first aggregate that has one."""
    for kind in domain.write_model.aggregates.values():
        for name in vars(kind.cls):
            if name in kind.commands:
                return kind, kind.commands[name]
    return None


def curl(base: str, kind: AggregateType, command: CommandType) -> str | None:
    """A curl line for a command, or None when no valid arguments could be made up."""
    body = example_body(command)
    if body is None:
        return None
    url = shlex.quote(f"{base}/{kind.plural}/42/{url_name(command.name)}")
    return f"curl {url} -H 'content-type: application/json' -d {shlex.quote(body.decode())}"


def example_body(command: CommandType) -> bytes | None:
    """The JSON body of a request for a command, None when no valid arguments could be made up."""
    body = msgspec.json.encode(_example(inspect.type_info(command.arguments)))
    try:
        command.decode(body)
    except InvalidCommand:
        return None
    return body


def _example(info: inspect.Type, name: str = "text") -> Any:
    """A value of a type; what has no case here is left to ``curl`` to notice."""
    made: Any = None
    match info:
        case inspect.StructType(fields=fields):
            required = [field for field in fields if field.required]
            made = {field.encode_name: _example(field.type, field.name) for field in required}
        case inspect.Metadata(type=inner):
            made = _example(inner, name)
        case inspect.StrType():
            made = name
        case inspect.IntType(ge=least) | inspect.FloatType(ge=least):
            made = max(1, least or 0)
        case inspect.BoolType():
            made = True
        case inspect.LiteralType(values=values):
            made = values[0]
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            made = [_example(item, name)]
        case inspect.TupleType(item_types=items):
            made = [_example(item, name) for item in items]
        case inspect.UnionType(types=types):
            made = _example(types[0], name)
        case _:
            pass
    return made
