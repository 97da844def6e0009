"""The order history of a Brazilian shop (the Olist public data set) as facts about orders.

    whence import examples.orders.history:olist olist_orders.csv.gz

Each row of the file is one order: its final status, and the moments of purchase, approval,
hand-over to the carrier and delivery. The moments have no time zone; they are taken as UTC.

What the file does not say is never made up in silence. Where a moment had to be inferred, the
event's metadata says so in its notes:

- the file has neither moment nor reason of a cancellation: it is taken to have occurred last;
- a delivered order without the moment of its delivery likewise;
- a few hand-overs to the carrier lie before the purchase, which cannot be: they are moved to it.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from examples.orders.domain import (
    Order,
    OrderApproved,
    OrderCancelled,
    OrderDelivered,
    OrderPlaced,
    OrderShipped,
)
from whence.actors.facts import Fact, History
from whence.store.errors import InvalidInput
from whence.store.ids import check_id
from whence.store.metadata import Metadata

ID = "order_id"
CUSTOMER = "customer_id"
STATUS = "order_status"
PURCHASED = "order_purchase_timestamp"
APPROVED = "order_approved_at"
HANDED_OVER = "order_delivered_carrier_date"
DELIVERED = "order_delivered_customer_date"

COLUMNS = (ID, CUSTOMER, STATUS, PURCHASED, APPROVED, HANDED_OVER, DELIVERED)
STATUSES = ("delivered", "canceled", "shipped", "unavailable", "invoiced", "processing")

NOT_RECORDED = "not recorded"
_CANCELLED = Metadata(
    notes={
        "inferred": "occurred_at, reason, cancelled_by",
        "basis": "the source has no moment, reason or person of a cancellation: "
        "the latest moment of the row is taken",
    }
)
_DELIVERED = Metadata(
    notes={
        "inferred": "occurred_at",
        "basis": "the source says delivered, but not when: the latest moment of the row is taken",
    }
)
_GZIP = b"\x1f\x8b"


def olist(path: Path | str) -> Iterator[History]:
    """The orders of a CSV file, or of one packed with gzip, one after the other.

    Raises:
        InvalidInput: a line that is no such order, which it names, or a file that is no such file.
        OSError: the file cannot be read.
    """
    with _opened(Path(path)) as rows:
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise InvalidInput(f"{path} is no Olist order file: it has no column {missing[0]!r}")
        for row in rows:
            try:
                _check_fields(row)
                history = _history(row)
            except (ValueError, InvalidInput) as error:
                raise InvalidInput(f"{path}, line {rows.line_num}: {error}") from error
            yield history


@contextmanager
def _opened(path: Path) -> Generator["csv.DictReader[str]"]:
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        unpacked = gzip.GzipFile(fileobj=file) if packed else file
        text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="")
        rows = csv.DictReader(text, strict=True)
        try:
            yield rows
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}, after line {rows.line_num}: {error}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InvalidInput(f"{path} is damaged after line {rows.line_num}: {error}") from error


def _check_fields(row: Mapping[str | None, object]) -> None:
    # csv keeps fields too many under None, and gives None for fields too few.
    if None in row or None in row.values():
        raise InvalidInput("it has not as many fields as the first line")


def _history(row: dict[str, str]) -> History:
    if row[STATUS] not in STATUSES:
        raise InvalidInput(f"{row[STATUS]!r} is not a status: {', '.join(STATUSES)}")
    return History(Order, check_id(row[ID], field="order id"), _facts(row))


def _facts(row: dict[str, str]) -> list[Fact]:
    placed = Fact(OrderPlaced(row[CUSTOMER], items=()), _moment(row, PURCHASED))
    later: list[Fact] = []
    if row[APPROVED]:
        later.append(Fact(OrderApproved(), _moment(row, APPROVED)))
    if row[HANDED_OVER]:
        later.append(Fact(OrderShipped(carrier=""), _moment(row, HANDED_OVER)))
    if row[DELIVERED]:
        later.append(Fact(OrderDelivered(), _moment(row, DELIVERED)))
    # An approval may come after the hand-over: facts stand in the order in which they occurred.
    later = sorted((_not_before(placed, fact) for fact in later), key=lambda fact: fact.occurred_at)
    facts = [placed, *later]
    last = facts[-1].occurred_at
    if row[STATUS] == "delivered" and not row[DELIVERED]:
        facts.append(Fact(OrderDelivered(), last, _DELIVERED))
    if row[STATUS] == "canceled":
        facts.append(Fact(OrderCancelled(NOT_RECORDED, NOT_RECORDED), last, _CANCELLED))
    return facts


def _moment(row: dict[str, str], column: str) -> datetime:
    try:
        return datetime.strptime(row[column], "%m/%d/%Y %H:%M").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(
            f"{row[column]!r} in {column} is not a moment: month/day/year hour:minute"
        ) from None


def _not_before(placed: Fact, fact: Fact) -> Fact:
    if fact.occurred_at >= placed.occurred_at:
        return fact
    notes = {
        "inferred": "occurred_at",
        "basis": "the source has it before the purchase, at " + fact.occurred_at.isoformat(),
    }
    return Fact(fact.event, placed.occurred_at, Metadata(notes=notes))
