"""Who may do what: keys, tokens, scopes, and what a page of another site must not."""

import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jwk, jwt

from examples.orders import domain
from tests.web.client import CANCEL, PLACE, Client, problem, stored
from whence import Runtime
from whence.store.errors import InvalidSetting
from whence.store.eventstore import EventStore
from whence.web.access import SCOPES, Access
from whence.web.apikeys import ApiKeys, new_key
from whence.web.app import create_app
from whence.web.tokens import Tokens

SECRETS, KEPT = zip(*[new_key(f"{scope}-key", scope) for scope in SCOPES], strict=True)
READ, WRITE, ADMIN = SECRETS


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def basic(secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"ann:{secret}".encode()).decode()}


@pytest.fixture
async def guarded(store: EventStore, runtime: Runtime) -> AsyncIterator[Client]:
    access = Access([ApiKeys(KEPT)])
    async with Client.of(create_app(domain, store, runtime, access=access)) as client:
        yield client


class TestKeys:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            bearer("whence_guess"),
            bearer(READ[:-1]),
            bearer(f"x{READ}"),
            bearer(KEPT[0].sha256),
            bearer(""),
            {"authorization": READ},
            {"authorization": f"Digest {READ}"},
            {"authorization": "Basic %%%"},
            {"authorization": "Basic \xe9"},
            {"authorization": "Basic " + b64encode(READ.encode()).decode()},
            {"authorization": "Bearer whence_\udcff"},
        ],
    )
    @pytest.mark.parametrize("path", ["/orders/42", "/openapi.json", "/nothing", "/views"])
    async def test_nobody_gets_in_without_one(
        self, guarded: Client, path: str, headers: dict[str, str]
    ) -> None:
        sent = {name: value.encode("utf-8", "surrogateescape") for name, value in headers.items()}
        response = await guarded.get(path, headers=sent)  # type: ignore[arg-type]

        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Basic")
        assert READ not in response.text

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    async def test_health_is_open(self, guarded: Client, path: str) -> None:
        assert (await guarded.get(path)).status_code == 200

    async def test_a_reader_may_read_and_no_more(self, guarded: Client, store: EventStore) -> None:
        await guarded.post("/orders/42/place", json=PLACE, headers=bearer(WRITE))

        assert (await guarded.get("/orders/42", headers=bearer(READ))).status_code == 200
        for path in ("/orders/42/cancel", "/orders/place", "/commands"):
            response = await guarded.post(path, json=CANCEL, headers=bearer(READ))
            assert "write" in problem(response, 403, "forbidden")["detail"]
        assert await stored(store) == 1

    @pytest.mark.parametrize("secret", [WRITE, ADMIN], ids=["writer", "admin"])
    async def test_who_may_write_may_read(self, guarded: Client, secret: str) -> None:
        headers = bearer(secret)
        assert (
            await guarded.post("/orders/42/place", json=PLACE, headers=headers)
        ).status_code == 201
        assert (await guarded.get("/orders/42", headers=headers)).status_code == 200

    async def test_only_an_administrator_changes_what_the_explorer_shows(
        self, guarded: Client
    ) -> None:
        path = "/explorer/projections/order-list/retry"
        refused = await guarded.post(path, headers=bearer(WRITE))
        assert "admin" in problem(refused, 403, "forbidden")["detail"]
        assert (await guarded.post(path, headers=bearer(ADMIN))).status_code not in {401, 403}


class TestBrowsers:
    @pytest.mark.parametrize(
        "sent",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://["},
        ],
    )
    async def test_without_keys_a_page_of_another_site_sends_no_command(
        self, client: Client, store: EventStore, sent: dict[str, str]
    ) -> None:
        response = await client.post("/orders/42/place", json=PLACE, headers=sent)

        problem(response, 401, "unauthenticated")
        assert await stored(store) == 0
        assert (await client.get("/livez", headers=sent)).status_code == 200

    async def test_without_keys_sites_are_let_in_by_name(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        app = create_app(domain, store, runtime, cors_origins=["https://shop.example"])
        sent = {"origin": "https://shop.example", "sec-fetch-site": "cross-site"}
        async with Client.of(app) as client:
            response = await client.post("/orders/42/place", json=PLACE, headers=sent)
        assert response.status_code == 201

    async def test_a_password_is_a_key(self, guarded: Client) -> None:
        response = await guarded.get("/orders/42", headers=basic(READ))
        problem(response, 404, "aggregate-not-found")

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_a_page_of_another_site_cannot_use_it(
        self, guarded: Client, store: EventStore, site: str
    ) -> None:
        headers = basic(WRITE) | {"sec-fetch-site": site}
        response = await guarded.post("/orders/42/place", json=PLACE, headers=headers)

        problem(response, 401, "unauthenticated")
        assert await stored(store) == 0

    async def test_our_own_pages_can(self, guarded: Client) -> None:
        headers = basic(WRITE) | {"sec-fetch-site": "same-origin"}
        response = await guarded.post("/orders/42/place", json=PLACE, headers=headers)
        assert response.status_code == 201

    async def test_other_sites_are_let_in_by_name(
        self, store: EventStore, runtime: Runtime
    ) -> None:
        app = create_app(
            domain,
            store,
            runtime,
            access=Access([ApiKeys(KEPT)]),
            cors_origins=["https://shop.example"],
        )
        asked = {"access-control-request-method": "POST"}
        async with Client.of(app) as client:
            ours = await client.options(
                "/orders/1/place", headers=asked | {"origin": "https://shop.example"}
            )
            other = await client.options(
                "/orders/1/place", headers=asked | {"origin": "https://evil.example"}
            )
            answer = await client.get(
                "/orders/1", headers=bearer(READ) | {"origin": "https://shop.example"}
            )
        assert ours.status_code == 200
        assert ours.headers["access-control-allow-origin"] == "https://shop.example"
        assert "access-control-allow-origin" not in other.headers
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "etag" in answer.headers["access-control-expose-headers"].lower()


PROVIDER = jwk.ECKey.generate_key("P-256", {"kid": "1"})
STRANGER = jwk.ECKey.generate_key("P-256", {"kid": "1"})


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    file = tmp_path / "jwks.json"
    public = jwk.KeySet([PROVIDER]).as_dict(private=False)
    file.write_bytes(msgspec.json.encode(public))
    return Tokens(file, issuer="https://id.example", audience="orders")


def token(key: jwk.ECKey = PROVIDER, algorithm: str = "ES256", **changed: Any) -> str:
    claims = {
        "iss": "https://id.example",
        "aud": "orders",
        "sub": "ann",
        "exp": int(time.time()) + 300,
        "scope": "openid write read",
    }
    claims = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": "1"}, claims, key)


class TestTokens:
    def test_the_widest_scope_counts(self, tokens: Tokens) -> None:
        found = tokens.principal(token())
        assert found is not None
        assert found == ("ann", "write")
        assert tokens.principal(token()) == found

    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": "https://evil.example"},
            {"iss": None},
            {"aud": "billing"},
            {"aud": None},
            {"sub": None},
            {"exp": int(time.time()) - 60},
            {"exp": None},
            {"exp": "soon"},
            {"nbf": int(time.time()) + 3600},
            {"scope": "openid"},
            {"scope": None},
            {"scope": ["write"]},
        ],
    )
    def test_each_claim_has_to_be_right(self, tokens: Tokens, changed: dict[str, Any]) -> None:
        assert tokens.principal(token(**changed)) is None

    def test_a_token_may_end_later_than_any_float(self, tokens: Tokens) -> None:
        secret = token(exp=10**400)
        assert tokens.principal(secret) == tokens.principal(secret) == ("ann", "write")

    def test_the_signature_has_to_be_the_providers(self, tokens: Tokens) -> None:
        assert tokens.principal(token(STRANGER)) is None
        head, body, signature = token().split(".")
        assert tokens.principal(f"{head}.{body}.") is None
        assert tokens.principal(f"{head}.{body[:-2]}.{signature}") is None

    @pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "....", "é.é.é", "x" * 10_000])
    def test_what_is_no_token_proves_nothing(self, tokens: Tokens, text: str) -> None:
        assert tokens.principal(text) is None

    def test_a_token_cannot_choose_its_algorithm(self, tokens: Tokens) -> None:
        _, body, _ = token().split(".")
        none = "eyJhbGciOiJub25lIiwia2lkIjoiMSJ9"  # {"alg":"none","kid":"1"}
        assert tokens.principal(f"{none}.{body}.") is None

    def test_a_token_that_was_known_still_ends(
        self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = token(exp=int(time.time()) + 5)
        assert tokens.principal(secret) is not None
        later = time.time() + 3_600
        monkeypatch.setattr(time, "time", lambda: later)
        assert tokens.principal(secret) is None

    @pytest.mark.parametrize(
        ("content", "algorithms"),
        [("", ["ES256"]), ("{}", ["ES256"]), ('{"keys": []}', ["ES256"]), (None, ["ES256"])],
    )
    def test_keys_that_cannot_be_read_are_named(
        self, tmp_path: Path, content: str | None, algorithms: list[str]
    ) -> None:
        file = tmp_path / "jwks.json"
        if content is not None:
            file.write_text(content, encoding="utf-8")
        with pytest.raises(InvalidSetting, match=r"jwks\.json"):
            Tokens(file, issuer="i", audience="a", algorithms=algorithms)

    @pytest.mark.parametrize("names", [["HS256"], ["none"], [], ["ES256", "HS256"]])
    def test_a_shared_secret_is_no_proof(
        self, tokens: Tokens, tmp_path: Path, names: list[str]
    ) -> None:
        with pytest.raises(InvalidSetting, match="algorithms"):
            Tokens(tmp_path / "jwks.json", issuer="i", audience="a", algorithms=names)


KEY: dict[str, Any] = msgspec.to_builtins(KEPT[0])


@pytest.mark.parametrize(
    "wrong", [{}, [{**KEY, "scope": "all"}], [{**KEY, "secret": "x"}], [KEY, KEY]], ids=range(4)
)
def test_a_file_of_keys_with_a_mistake_is_named(tmp_path: Path, wrong: Any) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(msgspec.json.encode(wrong))
    with pytest.raises(InvalidSetting, match=r"keys\.json"):
        ApiKeys.read(file)


def test_a_file_of_keys_is_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(msgspec.json.encode([KEY]))
    assert ApiKeys.read(file).principal(READ) == ("read-key", "read")


async def test_who_did_it_is_stored_with_the_event(guarded: Client) -> None:
    line = msgspec.json.encode({"aggregate": "order", "id": "2", "command": "place", "body": PLACE})
    await guarded.post("/orders/1/place", json=PLACE, headers=bearer(WRITE))
    await guarded.post(
        "/commands", content=line, headers=bearer(ADMIN) | {"content-type": "application/x-ndjson"}
    )

    for id_, who in (("1", "write-key"), ("2", "admin-key")):
        events = (await guarded.get(f"/orders/{id_}/events", headers=bearer(READ))).json()["events"]
        assert events[0]["metadata"] == {"who": who}
