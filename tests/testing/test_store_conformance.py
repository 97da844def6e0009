"""The suite in the hands of a stranger: it runs as it is, and it bites."""

from pathlib import Path

import pytest

from tests.testing.stranger import Run, run_pytest

BACKEND = """
import pytest
from whence.testing.store_conformance import StoreConformance

class TestMyServer(StoreConformance):
    @pytest.fixture
    def url(self, namespace):
        return f"memory://{namespace}"
"""

# Takes a check out of append.lua, so that the store no longer keeps what it promises.
MUTATION = """
from whence.store import append
from whence.store.script import Script, store_script

source = store_script("append").source
assert source.count({old!r}) == 1
append._SCRIPT = Script.of("append", source.replace({old!r}, {new!r}))
"""


def run(folder: Path, *options: str, before: str = "", after: str = "", settings: str = "") -> Run:
    (folder / "pytest.ini").write_text(f"[pytest]\n{settings}", encoding="utf-8")
    (folder / "test_mine.py").write_text(before + BACKEND + after, encoding="utf-8")
    return run_pytest(folder, *options)


STRICT = """\
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
AUTO = """\
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""

# One server for all tests, which has nothing left when they have ended.
SHARED = """
    @pytest.fixture
    def url(self):
        return "memory://shared"

def test_at_the_end_it_is_empty():
    wire = Address.parse("memory://shared").wire()
    assert asyncio.run(wire.call([("KEYS", "*")])) == [[]]
"""


def test_it_passes_and_leaves_nothing_on_the_server(tmp_path: Path) -> None:
    imports = "import asyncio\nfrom whence.store.address import Address\n"
    found = run(tmp_path, "-p", "no:randomly", before=imports, after=SHARED, settings=STRICT)

    assert found.counts.keys() == {"passed"}, found.text
    assert found.counts["passed"] > 60


def test_the_mode_and_the_scopes_of_pytest_asyncio_do_not_matter(tmp_path: Path) -> None:
    found = run(tmp_path, "-k", "follow or sharing or stores", settings=AUTO)

    assert found.counts.keys() == {"passed", "deselected"}, found.text


def test_without_pytest_asyncio_it_fails_rather_than_pass_unseen(tmp_path: Path) -> None:
    found = run(tmp_path, "-p", "no:asyncio", "-x")

    assert "passed" not in found.counts, found.text
    assert not {"failed", "error"}.isdisjoint(found.counts), found.text


def test_without_a_url_it_says_what_to_do(tmp_path: Path) -> None:
    forgetful = "\nclass TestOther(StoreConformance):\n    pass\n"
    found = run(tmp_path, "-x", "-k", "TestOther", after=forgetful)

    assert "TestOther needs a fixture url: the URL of the server under test" in found.text


@pytest.mark.parametrize(
    ("old", "new", "noticed_by"),
    [
        ("and stored_by(key, expected, command, count)", "and false", "the_same_command_again"),
        ("if word then", "if false then", "at_any_version"),
        ("if body ~= ARGV[at + 7] then", "if false then", "refused_for_another_command"),
        ("head.version ~= expected or head.broken", "head.broken", "expecting_more"),
        ("if added ~= id then", "if false then", "a_writer_who_is_behind_to_the_end"),
        ("head.version ~= expected or head.broken", "head.version ~= expected", "filled_its_gap"),
        ("if moment < last then", "if false then", "going_back"),
        ("return math.max(now, last)", "return now", "clock_that_was_set_back"),
        ("'PX', ARGV[append.at + 8]", "'PX', '100000000000'", "and_no_longer"),
    ],
)
def test_a_store_with_one_check_less_does_not_pass(
    tmp_path: Path, old: str, new: str, noticed_by: str
) -> None:
    found = run(tmp_path, "-x", "-k", noticed_by, before=MUTATION.format(old=old, new=new))

    assert found.counts.get("failed") == 1, found.text


def test_a_key_outside_the_grammar_does_not_pass(tmp_path: Path) -> None:
    careless = """
    async def test_a_key_is_left(self, store):
        await store.ask("SET", f"{store.keys.namespace}:mine", "1")
"""
    found = run(tmp_path, "-k", "is_left", after=careless)

    assert found.counts.get("error") == 1
    assert "keys outside the grammar: [b't-" in found.text


def test_a_failure_shows_its_values(tmp_path: Path) -> None:
    mutation = MUTATION.format(old="head.version ~= expected or head.broken", new="true")
    found = run(tmp_path, "-x", "-k", "first_event", before=mutation)

    assert "where False = isinstance(Conflicted(head=0, missed=[]), Committed)" in found.text
