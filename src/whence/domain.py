"""A domain: the aggregates, projections and reactions that belong together."""

import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from whence.actors.aggregate import Aggregate
from whence.actors.model import WriteModel
from whence.projections.projection import Projector
from whence.projections.readmodel import ReadModel
from whence.reactions.model import ReactionModel
from whence.reactions.reaction import Reaction
from whence.store.errors import InvalidDomain, InvalidSetting, WhenceError
from whence.store.upcasting import Upcaster


class Domain:
    """What the runtime, the workers and the web front end are made from.

    Args:
        aggregates: the write model; each class is one type of stream.
        projections: the read models that follow their events.
        reactions: what follows from their events, as commands and timers.
        upcasters: how events that were stored in an older form become those of today, see
            whence.store.upcasting.

    Raises:
        InvalidDomain: a class contradicts itself or another one; the sentence says how.
    """

    def __init__(
        self,
        *,
        aggregates: Iterable[type[Aggregate[Any]]],
        projections: Iterable[type[Projector]] = (),
        reactions: Iterable[type[Reaction]] = (),
        upcasters: Iterable[Upcaster] = (),
    ) -> None:
        self.write_model = WriteModel(aggregates, upcasters)
        if not self.write_model.aggregates:
            raise InvalidDomain("a domain needs at least one aggregate")
        self.read_model = ReadModel(projections, self.write_model.events)
        self.reactions = ReactionModel(
            reactions, self.write_model, taken=self.read_model.projections
        )


def load_object(path: str) -> object:
    """The object that ``package.module:name`` names; the current folder is searched first.

    Raises:
        InvalidSetting: the path has another form, there is no such module or name, or the module
            cannot be imported; the sentence names the line.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator or not module_name or not attribute:
        raise InvalidSetting(f"{path!r} does not name an object: write it as package.module:name")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except WhenceError:
        raise
    except Exception as error:
        raise _not_imported(path, module_name, error) from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        raise InvalidSetting(f"the module {module_name} has no {attribute!r}") from None
    return found


def _not_imported(path: str, module_name: str, error: Exception) -> InvalidSetting:
    """The sentence for what went wrong in a module that may be anybody's."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module_name}.".startswith(f"{missing}."):
        return InvalidSetting(f"there is no module {missing!r} (looking for {path!r})")
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
        return InvalidSetting(f"{module_name} is no valid Python: {error.msg} ({where})")
    last = traceback.extract_tb(error.__traceback__)[-1]
    return InvalidSetting(
        f"{module_name} cannot be imported: {type(error).__name__}: {error} "
        f"({last.filename}, line {last.lineno})"
    )


def load_domain(path: str) -> Domain:
    """The Domain that ``package.module:name`` names. Raises InvalidSetting, InvalidDomain."""
    found = load_object(path)
    if not isinstance(found, Domain):
        raise InvalidSetting(f"{path} is of type {type(found).__name__}, not a whence.Domain")
    return found
