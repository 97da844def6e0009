"""The real order history, read without the importer that is tested with it."""

import csv
import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("WHENCE_DATA_DIR", PROJECT.parent / "shared" / "data"))
FILE = FOLDER / "olist_orders.csv.gz"

MOMENTS = (
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
    "order_delivered_customer_date",
)

needs_file = pytest.mark.skipif(
    not FILE.exists(),
    reason=f"the Olist data is no part of the project: {FILE} is absent (WHENCE_DATA_DIR)",
)


def rows() -> list[dict[str, str]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def with_status(status: str) -> list[dict[str, str]]:
    return [row for row in rows() if row["order_status"] == status]


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=UTC)


def latest(row: dict[str, str]) -> datetime:
    """The latest moment of a row."""
    return max(moment(row[name]) for name in MOMENTS if row[name])
