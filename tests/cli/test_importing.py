"""``whence import``: twice, interrupted by a bad line, and into orders that are already there."""

import gzip
from pathlib import Path

import httpx
import pytest

from tests.cli.program import ORDERS, Program, whence

OLIST = "examples.orders.history:olist"
HEAD = (
    "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date\n"
)
DELIVERED = "a1,c1,delivered,1/2/2018 10:00,1/2/2018 10:05,1/3/2018 9:00,1/9/2018 17:30\n"
CANCELED = "a2,c2,canceled,1/2/2018 11:00,1/2/2018 11:05,,\n"
BROKEN = "a3,c3,lost,1/2/2018 12:00,,,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(f'[tool.whence]\ndomain = "{ORDERS}"\n')
    return tmp_path


def test_a_second_import_finds_everything_there(folder: Path) -> None:
    (folder / "orders.csv.gz").write_bytes(gzip.compress((HEAD + DELIVERED + CANCELED).encode()))
    first = whence("import", OLIST, "orders.csv.gz", cwd=folder)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "Aggregates imported: 2 (7 events), already there: 0\n"
    second = whence("import", OLIST, "orders.csv.gz", cwd=folder)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == "Aggregates imported: 0 (0 events), already there: 2\n"


def test_what_comes_before_a_bad_line_is_kept_and_the_rest_follows(folder: Path) -> None:
    file = folder / "orders.csv"
    file.write_text(HEAD + DELIVERED * 3 + BROKEN + CANCELED)
    broken = whence("import", OLIST, file, cwd=folder)
    assert broken.returncode == 1
    assert "orders.csv, line 5: 'lost' is not a status: delivered, canceled, " in broken.stderr
    assert "Aggregates imported: 1 (4 events), already there: 1. Mend it" in broken.stderr
    file.write_text(HEAD + DELIVERED + CANCELED)
    mended = whence("import", OLIST, file, cwd=folder)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout == "Aggregates imported: 1 (3 events), already there: 1\n"


def test_an_order_with_another_past_is_a_conflict_and_stays(folder: Path) -> None:
    (folder / "orders.csv").write_text(HEAD + DELIVERED + CANCELED)
    with Program("dev", ORDERS, "--port", "0", cwd=folder) as program:
        order = f"{program.base}/orders/a1"
        items = [{"sku": "tea", "quantity": 1, "price": 1}]
        httpx.post(f"{order}/place", json={"user_id": "ada", "items": items})
        before = httpx.get(order).json()
        result = whence("import", OLIST, "orders.csv", cwd=folder)
        assert result.returncode == 1
        assert result.stdout == "Aggregates imported: 1 (3 events), already there: 0\n"
        assert "1 exist with another past and were left as they are: order/a1" in result.stderr
        assert httpx.get(order).json() == before
        assert program.end() == 0


def test_an_order_that_went_on_after_its_import_is_still_the_same(folder: Path) -> None:
    (folder / "orders.csv").write_text(HEAD + "a1,c1,invoiced,1/2/2018 10:00,,,\n")
    assert whence("import", OLIST, "orders.csv", cwd=folder).returncode == 0
    with Program("dev", ORDERS, "--port", "0", cwd=folder) as program:
        shipped = httpx.post(f"{program.base}/orders/a1/ship", json={"carrier": "post"})
        assert shipped.status_code == 200, shipped.text
        again = whence("import", OLIST, "orders.csv", cwd=folder)
        assert again.stdout == "Aggregates imported: 0 (0 events), already there: 1\n"
        assert program.end() == 0
