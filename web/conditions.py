"""If-Match and If-None-Match (RFC 9110, section 13): an aggregate's version is its entity tag."""

import re
from typing import NamedTuple

from starlette.requests import Request

from whence.store.errors import InvalidInput, PreconditionFailed, shown
from whence.store.eventstore import EventStore
from whence.store.ids import StreamId

# A list may have empty members, and a quoted tag may contain a comma.
_MEMBER = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)')
# Characters of a condition; more tags than fit in there are no condition of ours.
_LONGEST = 4_000
_VERSION = re.compile(r"0|[1-9][0-9]{0,14}")


class Tags(NamedTuple):
    """The versions that a condition names; ``anything`` is its ``*``.

    Tags that no version has (``"abc"``, and weak ones where only strong ones count) are left out:
    they match nothing.
    """

    text: str
    anything: bool
    versions: frozenset[int]

    @classmethod
    def of(cls, request: Request, header: str, *, weak: bool = False) -> "Tags | None":
        """What a header says; None when it is absent.

        Raises:
            InvalidInput: it is neither ``*`` nor a list of entity tags.
        """
        lines = request.headers.getlist(header)
        if not lines:
            return None
        text = ",".join(lines)
        if len(text) > _LONGEST:
            raise InvalidInput(f"{header} may have {_LONGEST:,} characters", field=header)
        if text.strip() == "*":
            return cls(text, True, frozenset())
        return cls(text, False, frozenset(_versions(header, text, weak=weak)))

    def match(self, version: int) -> bool:
        """Whether the condition names this version; 0 is that of an aggregate without events."""
        return version > 0 if self.anything else version in self.versions


def _versions(header: str, text: str, *, weak: bool) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(text) or not text:
        member = _MEMBER.match(text, at)
        if member is None or member.end() == at:
            raise InvalidInput(
                f'{header} takes entity tags such as "3", or *, and not {shown(text)}', field=header
            )
        at = member.end()
        tag = member[2]
        if tag is not None and (weak or not member[1]) and _VERSION.fullmatch(tag):
            found.append(int(tag))
    return found


def conditional(request: Request) -> bool:
    """Whether a request has conditions at all."""
    headers = request.headers
    return "if-match" in headers or "if-none-match" in headers


async def expected_version(
    request: Request, store: EventStore, stream: StreamId, *, may_repeat: bool
) -> int | None:
    """The version at which a command may be decided; None for any.

    A stream that exists will always exist, and its version is checked again as it is appended to:
    so a look at the store is no race.

    Args:
        may_repeat: the command may have been stored already, at a version that is past by now. Then
            it is for those who remember it to say so, and a version of the condition is answered
            even where the aggregate is at another one.

    Raises:
        InvalidInput: a condition is malformed, or cannot be one for a command.
        PreconditionFailed: the aggregate is not as the condition says.
    """
    exists, absent = Tags.of(request, "if-match"), Tags.of(request, "if-none-match")
    if absent is not None and (exists is not None or not absent.anything):
        raise InvalidInput(
            "a command takes If-Match with a version, or If-None-Match: * for an aggregate that "
            "must not exist yet, and not both",
            field="if-none-match",
        )
    if absent is not None:
        return 0
    if exists is None:
        return None
    if len(exists.versions) == 1:
        return next(iter(exists.versions))
    head = await store.head(stream)
    if not exists.match(head):
        if may_repeat and exists.versions:
            return max(exists.versions)
        raise PreconditionFailed(stream, exists.text, head)
    return None if exists.anything else head


def unchanged(request: Request, stream: StreamId, version: int) -> bool:
    """Whether a reader has this version already, and an answer without a body will do.

    Raises:
        InvalidInput: a condition is malformed.
        PreconditionFailed: the reader asks for another version by If-Match.
    """
    wanted = Tags.of(request, "if-match")
    if wanted is not None and not wanted.match(version):
        raise PreconditionFailed(stream, wanted.text, version)
    known = Tags.of(request, "if-none-match", weak=True)
    return known is not None and known.match(version)
