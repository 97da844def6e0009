"""The upcasters of a domain as chains: checked once at start, followed for each old event."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from whence.store.errors import InvalidDomain, UpcastFailed, shown
from whence.store.events import Event
from whence.store.upcasting import Upcaster, name_of

_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class Form(NamedTuple):
    """An event as it is stored: its name and schema version."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} of schema version {self.version}"


class Chains:
    """All ways from older forms to those of today.

    Args:
        types: the classes of today by name.

    Raises:
        InvalidDomain: an upcaster is missing, or leads nowhere; the sentence says which.
    """

    def __init__(self, types: Mapping[str, type[Event]], upcasters: Iterable[Upcaster]) -> None:
        self._types = types
        self._steps: dict[Form, Upcaster] = {}
        for step in upcasters:
            self._add(step)
        for name in dict.fromkeys([*types, *(form.name for form in self._steps)]):
            self._check_complete(name)
        # Walking each of them also finds the ways that lead nowhere or in a circle.
        self._ends = {form: self._follow(form, ()) for form in self._steps}

    def __contains__(self, form: Form) -> bool:
        """Whether there is a way from this older form."""
        return form in self._steps

    @property
    def names(self) -> frozenset[str]:
        """The names of all events that have an older form."""
        return frozenset(form.name for form in self._steps)

    def becomes(self, name: str) -> frozenset[str]:
        """The names of today's events that older forms of this one may become."""
        ends = [end for form, end in self._ends.items() if form.name == name]
        return frozenset[str]().union(*ends)

    def upcast(self, form: Form, data: bytes) -> list[tuple[str, bytes]]:
        """What a stored event is today: names of classes and their JSON, in order.

        Between two steps the event is bytes: what a step does to its object cannot reach another,
        and the last one is read as if it had been stored so.

        Raises:
            UpcastFailed: a step raised, or gave what it must not.
        """
        step = self._steps.get(form)
        if step is None:
            return [(form.name, data)]
        found: list[tuple[str, bytes]] = []
        for next_form, next_data in _take(step, form, data):
            found += self.upcast(next_form, next_data)
        return found

    def _add(self, step: Upcaster) -> None:
        for event in (step.event, *step.into):
            known = self._types.get(name_of(event))
            if not isinstance(event, str) and event is not known:
                raise InvalidDomain(
                    f"an upcaster names {event.__name__}, which no aggregate of this domain emits; "
                    "for an event whose class is gone, write its name as a str"
                )
        name = name_of(step.event)
        if not step.versions or step.versions[0] < 1:
            raise InvalidDomain(f"an upcaster of {name} begins below schema version 1")
        for version in step.versions:
            if Form(name, version) in self._steps:
                raise InvalidDomain(f"two upcasters begin at {Form(name, version)}")
            self._steps[Form(name, version)] = step

    def _check_complete(self, name: str) -> None:
        given = sorted(form.version for form in self._steps if form.name == name)
        cls = self._types.get(name)
        if cls is not None and given and given[-1] >= cls.__schema_version__:
            raise InvalidDomain(
                f"an upcaster begins at {Form(name, given[-1])}, but the class {name} is of schema "
                f"version {cls.__schema_version__}: is version={given[-1] + 1} missing in its "
                "class line?"
            )
        # Of an event without a class only the upcasters tell how many versions it had.
        last = given[-1] if cls is None else cls.__schema_version__ - 1
        missing = [version for version in range(1, last + 1) if version not in given]
        if missing:
            raise InvalidDomain(
                f"{name} has no upcaster from schema version {_listed(missing)}: events that were "
                "stored so could not be read; give it one in Domain(upcasters=[...])"
            )

    def _follow(self, form: Form, seen: tuple[Form, ...]) -> frozenset[str]:
        """The names at which the ways from here end."""
        if form in seen:
            raise InvalidDomain(f"the upcasters of {form} lead back to it")
        cls = self._types.get(form.name)
        if cls is not None and cls.__schema_version__ == form.version:
            return frozenset([form.name])
        step = self._steps.get(form)
        if step is None:
            raise InvalidDomain(
                f"an upcaster of {seen[-1]} leads to {form}, which has neither a class in this "
                "domain nor an upcaster of its own"
            )
        ends = [self._follow(Form(name_of(e), v), (*seen, form)) for e, v in step.into.items()]
        return frozenset[str]().union(*ends)


def _take(step: Upcaster, form: Form, data: bytes) -> list[tuple[Form, bytes]]:
    """One step. Whatever the function of a team raises or returns becomes a sentence."""
    into = {name_of(event): version for event, version in step.into.items()}
    found: list[tuple[Form, bytes]] = []
    try:
        for event, new in step.function(_decoder.decode(data)):
            name = name_of(event)
            if name not in into:
                raise UpcastFailed(form, f"it gave a {name}, which is not in its into={{...}}")
            if type(new) is not dict:
                raise UpcastFailed(form, f"it gave {shown(new)}, which is not a JSON object")
            found.append((Form(name, into[name]), _encoder.encode(new)))
    except UpcastFailed:
        raise
    except Exception as error:
        raise UpcastFailed(form, f"{type(error).__name__}: {error}") from error
    return found


def _listed(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
