"""A client that a public generator makes from /openapi.json: place an order, cancel it, ask why."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.web.client import Client
from tests.web.serving import serving

# No formatter over what is thrown away again.
CONFIG = "post_hooks: []\n"


def generate(document: dict[str, Any], folder: Path, package: str) -> None:
    """Write the package; the generator leaves out what it does not understand, with a warning."""
    (folder / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "config.yml").write_text(CONFIG, encoding="utf-8")
    run = subprocess.run(
        [
            *(Path(sys.executable).parent / "openapi-python-client", "generate"),
            *("--path", folder / "openapi.json", "--output-path", folder / package),
            *("--config", folder / "config.yml", "--meta", "none", "--fail-on-warning"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture
async def generated(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the package."""
    package = f"generated_{tmp_path.name}".replace("-", "_")
    generate(await client.document("/openapi.json"), tmp_path, package)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return package


async def test_the_first_five_minutes_through_a_generated_client(
    app: Starlette, generated: str
) -> None:
    def module(name: str) -> Any:
        return importlib.import_module(f"{generated}.{name}")

    def call(name: str) -> Any:
        return module(f"api.order.{name}").asyncio

    models = module("models")
    async with (
        serving(app) as port,
        module("client").Client(f"http://127.0.0.1:{port}") as http,
    ):
        order = models.OrderPlace(user_id="ann", items=[models.Item("book", 2, 1500)])
        placed = await call("order_place")("42", client=http, body=order)
        assert type(placed) is models.OrderCommandReply
        assert (placed.id, placed.version) == ("42", 1)
        assert placed.events[0].type_ == "OrderPlaced"

        why = models.OrderCancel(reason="found it cheaper", cancelled_by="ann")
        cancelled = await call("order_cancel")("42", client=http, body=why, if_match='"1"')
        assert cancelled.version == 2

        refused = await call("order_ship")("42", client=http, body=models.OrderShip("DHL"))
        assert type(refused) is models.Problem
        assert (refused.status, refused.detail) == (409, "a cancelled order cannot be shipped")

        state = await call("get_orders_id")("42", client=http)
        assert type(state) is models.OrderStateReply
        assert state.state.status == "cancelled"
        before = await call("get_orders_id")("42", client=http, version=1)
        assert before.state.status == "pending"

        field = models.GetOrdersIdWhyField("status")
        answer = await call("get_orders_id_why")("42", client=http, field=field)
        assert type(answer) is models.WhyFieldReply
        assert answer.value == "cancelled"
        assert (answer.last.type_, answer.last.reason) == ("OrderCancelled", "found it cheaper")


async def test_an_order_whose_id_the_server_makes(app: Starlette, generated: str) -> None:
    place: Any = importlib.import_module(f"{generated}.api.order.new_order_place")
    models: Any = importlib.import_module(f"{generated}.models")
    client: Any = importlib.import_module(f"{generated}.client").Client
    async with serving(app) as port, client(f"http://127.0.0.1:{port}") as http:
        order = models.OrderPlace(user_id="ann", items=[models.Item("book", 2, 1500)])
        answer = await place.asyncio_detailed(
            client=http, body=order, idempotency_key="checkout-1", prefer="return=minimal"
        )
        assert answer.status_code == 201
        assert type(answer.parsed) is models.MinimalReply
        assert answer.headers["location"] == f"/orders/{answer.parsed.id}"
