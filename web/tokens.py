"""JSON Web Tokens of an identity provider, verified with its public keys."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from whence.store.errors import InvalidSetting
from whence.web.access import SCOPES, Principal, Scope

# Tokens that were verified a moment ago; verifying one takes longer than a command.
_REMEMBERED = 1_000
# Seconds by which the clocks of two machines may differ.
_LEEWAY = 30
_ALGORITHMS = ("ES256", "RS256", "PS256")


class Tokens:
    """Recognises the holders of tokens.

    The claim ``sub`` names them; of the words in ``scope`` the widest of read, write and admin
    counts.

    Args:
        keys: a file with the provider's public keys (JWKS).
        issuer, audience: what the claims ``iss`` and ``aud`` must say.
        algorithms: those that are accepted; symmetric ones never are.

    Raises:
        InvalidSetting: the file cannot be read, or an algorithm is not acceptable.
    """

    def __init__(
        self, keys: Path, *, issuer: str, audience: str, algorithms: Sequence[str] = ("ES256",)
    ) -> None:
        unknown = [name for name in algorithms if name not in _ALGORITHMS]
        if unknown or not algorithms:
            raise InvalidSetting(
                f"the algorithms of tokens are {', '.join(_ALGORITHMS)}, not "
                f"{', '.join(unknown) or 'none'}"
            )
        self._algorithms = list(algorithms)
        self._keys = _read(keys)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._known: dict[str, tuple[Principal, float]] = {}

    def principal(self, secret: str) -> Principal | None:
        known = self._known.get(secret)
        if known is not None and known[1] > time.time():
            return known[0]
        self._known.pop(secret, None)
        found = self._verified(secret)
        if found is None:
            return None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[secret] = found
        return found[0]

    def _verified(self, secret: str) -> tuple[Principal, float] | None:
        try:
            token = jwt.decode(secret, self._keys, algorithms=self._algorithms)
            self._claims.validate(token.claims)
        except (ValueError, KeyError, TypeError, JoseError):
            return None
        scope = _widest(token.claims.get("scope"))
        if scope is None:
            return None
        # As it came, for it may be more than a float can hold.
        return Principal(str(token.claims["sub"]), scope), token.claims["exp"]


def _read(file: Path) -> jwk.KeySet:
    try:
        return jwk.KeySet.import_key_set(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise InvalidSetting(f"the keys for tokens in {file} cannot be read: {error}") from error


def _widest(claim: object) -> Scope | None:
    words = claim.split() if isinstance(claim, str) else ()
    return next((scope for scope in reversed(SCOPES) if scope in words), None)
