"""What an event is: an immutable, versioned fact, named in the past tense."""

from collections.abc import Sequence
from typing import Any, ClassVar, dataclass_transform

import msgspec

from whence.store.errors import InvalidDomain


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """Makes every subclass frozen, and tells type checkers so."""

    def __new__(
        mcls: type["FrozenMeta"],
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **config: Any,
    ) -> "FrozenMeta":
        if config.setdefault("frozen", True) is not True:
            raise InvalidDomain(f"{name} cannot be frozen=False: events and states never change")
        return super().__new__(mcls, name, bases, namespace, **config)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class EventMeta(FrozenMeta):
    """Takes out of the class line what is not of msgspec: ``class Placed(Event, version=2)``."""

    def __new__(
        mcls: type["EventMeta"],
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        version: int = 1,
        aliases: Sequence[str] = (),
        present_tense: str = "",
        **config: Any,
    ) -> "EventMeta":
        if config.get("array_like"):
            raise InvalidDomain(
                f"{name} cannot be array_like: a reordered field would swap stored values silently"
            )
        if config.get("forbid_unknown_fields"):
            raise InvalidDomain(
                f"{name} cannot have forbid_unknown_fields: while a release with one more field is "
                "rolled out, the older one must be able to read its events"
            )
        if isinstance(aliases, str):
            raise InvalidDomain(f'write the aliases of {name} as a tuple: aliases=("{aliases}",)')
        namespace["__schema_version__"] = version
        namespace["__aliases__"] = tuple(aliases)
        namespace["__present_tense__"] = present_tense
        if version < 1:
            raise InvalidDomain(f"{name} cannot have schema version {version}: they start at 1")
        return super().__new__(mcls, name, bases, namespace, **config)  # type: ignore[return-value]


class Event(msgspec.Struct, metaclass=EventMeta):
    """The base class of a domain's events: a frozen msgspec Struct with a schema version.

    The class name is stored with each event as its type, and ``version`` (default 1) as its schema
    version. Fields must survive JSON: what decodes to something else is refused at the append.

    The class line may also have ``aliases``, the names under which events of this class were stored
    before it was renamed, and ``present_tense``, the reason why its name is not in the past tense.
    """

    __schema_version__: ClassVar[int]
    __aliases__: ClassVar[tuple[str, ...]]
    __present_tense__: ClassVar[str]
