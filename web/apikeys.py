"""API keys: random, shown once, and kept only as a hash."""

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from whence.store.errors import InvalidSetting, shown
from whence.web.access import Principal, Scope

_PREFIX = "whence_"
_NAME = re.compile(r"[\w.@-]{1,64}")


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a key. A hash without salt is enough for 256 random bits."""

    name: str
    scope: Scope
    sha256: str


class ApiKeys:
    """Recognises the holders of keys."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._by_hash = {key.sha256: Principal(key.name, key.scope) for key in keys}

    @classmethod
    def read(cls, file: Path) -> "ApiKeys":
        """The keys of a file, a JSON list.

        Raises:
            InvalidSetting: it cannot be read, has a mistake, or two keys of one name.
        """
        keys = read_keys(file)
        names = [key.name for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise InvalidSetting(f"{file} has two keys named {shown(name)}: delete one")
        return cls(keys)

    def principal(self, secret: str) -> Principal | None:
        # A digest is looked up, not compared: how long that takes tells nothing about the key.
        return self._by_hash.get(_hash(secret)) if secret.startswith(_PREFIX) else None


def read_keys(file: Path) -> list[ApiKey]:
    """Raises InvalidSetting."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[ApiKey])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f"the API keys in {file} cannot be read ({error}): make one with "
            '"whence keys add NAME --scope read"'
        ) from error


def new_key(name: str, scope: Scope) -> tuple[str, ApiKey]:
    """A new key: the secret for its holder, and what is kept.

    Raises:
        InvalidSetting: the name is empty, long, or has unusual characters.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidSetting(
            f"{shown(name)} cannot name a key: use 1 to 64 letters, digits and . _ @ -",
            field="name",
        )
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, ApiKey(name, scope, _hash(secret))


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
