"""A person's mistakes: a sentence on stderr and an exit code, never a traceback."""

from pathlib import Path

import pytest

from tests.cli.program import ORDERS, whence

FILES = {
    "nothing.py": "domain = 3\n",
    "typo.py": "domain = Domian()\n",
    "syntax.py": "def :\n",
    "needs.py": "import surely_not_installed\n",
    "unclear.py": "from whence import Domain\ndomain = Domain(aggregates=[])\n",
    "reading.py": (
        "def strange(path):\n    yield 3\n\n\ndef missing(path):\n    return open('gone')\n"
        "\n\ndef nothing(path):\n    pass\n"
    ),
    "broken.csv": "order_id\n1\n",
    "wrong.csv": (
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
        "order_delivered_carrier_date,order_delivered_customer_date\n"
        "a1,c1,delivered,1/2/2018 10:00,,,\n"
        "a2,c1,delivered,yesterday,,,\n"
    ),
}
OLIST = "examples.orders.history:olist"
NOWHERE = "unix:///nowhere/at/all.sock"

MISTAKES = [
    (["dev", "orders"], 1, "'orders' does not name an object: write it as package.module:name"),
    (["dev", "no.such:domain"], 1, "there is no module 'no' (looking for 'no.such:domain')"),
    (["dev", "nothing:other"], 1, "the module nothing has no 'other'"),
    (["dev", "nothing:domain"], 1, "nothing:domain is of type int, not a whence.Domain"),
    (["dev", "typo:domain"], 1, "NameError: name 'Domian' is not defined"),
    (["dev", "syntax:domain"], 1, "syntax is no valid Python: invalid syntax"),
    (["dev", "needs:domain"], 1, "No module named 'surely_not_installed'"),
    (["dev", "unclear:domain"], 1, "a domain needs at least one aggregate"),
    (["dev", ORDERS, "--host", "no.such.host.invalid"], 1, "is no address to listen at"),
    (["dev", ORDERS, "--host", ".."], 1, "'..' is no address to listen at"),
    (["dev", ORDERS, "--port", "0", "--data", "nothing.py"], 1, "cannot be a data directory"),
    (["dev", ORDERS, "--port", "99999"], 2, "99999 is not in the range"),
    (["dev"], 2, "Missing argument 'MODULE:DOMAIN'"),
    (["devv"], 2, "No such command 'devv'"),
    (["show", "order", "42"], 1, "no domain is given: use --domain MODULE:NAME"),
    (["show", "order", "42", "--domain", ORDERS], 1, "there are no events here"),
    (["show", "order", "4{2", "--url", "memory://"], 1, "'4{2' is not a valid id"),
    (["show", "order", "42", "--url", "memory://"], 1, "order/42 does not exist"),
    (["show", "seat", "42", "--url", "memory://"], 1, "there is no aggregate 'seat'"),
    (["show", "order", "42", "--url", NOWHERE], 1, "cannot be reached"),
    (["show", "order", "42", "--url", "redis://127.0.0.1:1"], 1, "cannot be reached"),
    (["show", "order", "42", "--url", "http://here"], 1, "is not a kind of server Whence knows"),
    (["show", "order", "42", "--version", "0"], 2, "0 is not in the range x>=1"),
    (["show", "order", "42", "--at", "yesterday"], 2, "'yesterday' is not a moment"),
    (["show", "order", "42", "--at", "2026-01-31T12:00:00"], 2, "add Z for UTC"),
    (["show", "order", "42", "--version", "1", "--at", "2026-01-31"], 2, "Invalid value"),
    (["why", "order", "42", "status", "--url", "memory://"], 1, "order/42 does not exist"),
    (["why", "order", "42", "colour", "--url", "memory://"], 1, "order has no field 'colour'"),
    (["web", "--url", NOWHERE, "--port", "0"], 1, "cannot be reached"),
    (["worker", "--url", NOWHERE], 1, "cannot be reached"),
    (["projections", "--url", NOWHERE], 1, "cannot be reached"),
    (["projections", "rebuild", "sales"], 1, "this domain has: order-list, sales-per-day"),
    (["projections", "rebuild", "order-list", "--url", NOWHERE], 1, "cannot be reached"),
    (["projections", "--url", NOWHERE, "rebuild", "order-list"], 1, "cannot be reached"),
    (["check", "orders"], 1, "'orders' does not name an object: write it as package.module:name"),
    (["check", "--lock", "broken.csv"], 1, "broken.csv cannot be read as a lock of events"),
    (["check", "--update", "--lock", "no/such/folder"], 1, "folder cannot be written: No such"),
    (["import", "reading", "wrong.csv"], 1, "'reading' does not name an object"),
    (["import", ORDERS, "wrong.csv"], 1, "is of type Domain, not a function"),
    (["import", OLIST, "gone.csv"], 1, "there is no file gone.csv"),
    (["import", OLIST, "broken.csv"], 1, "it has no column 'customer_id'"),
    (["import", OLIST, "wrong.csv"], 1, "wrong.csv, line 3: 'yesterday' in order_purchase_"),
    (["import", "reading:strange", "wrong.csv"], 1, "yields 3, not a whence.actors.facts.History"),
    (["import", "reading:nothing", "wrong.csv"], 1, "returns None, and should yield histories"),
    (["import", "reading:missing", "wrong.csv"], 1, "cannot be read: No such file or directory"),
]


def _name(arguments: list[str]) -> str:
    return " ".join(arguments)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"), MISTAKES, ids=[_name(m[0]) for m in MISTAKES]
)
def test_a_mistake_gets_a_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    env: dict[str, str] = {}
    if "no domain" not in sentence:
        env["WHENCE_DOMAIN"] = ORDERS
    if arguments[0] == "import":
        env["WHENCE_URL"] = "memory://"
    result = whence(*arguments, cwd=tmp_path, env=env)
    assert result.returncode == code, result.stderr
    assert sentence in result.stderr
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
