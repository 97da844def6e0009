"""The page about tests is itself a project whose tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.stranger import ROOT, run_pytest

PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"```python\n# (\w+\.py)\n(.+?)```", PAGE, re.DOTALL))
PYPROJECT = '[tool.whence]\ndomain = "examples.orders:domain"\n'
# Hypothesis tries little: what it finds is tested elsewhere.
BRIEF = """
from hypothesis import settings
settings.register_profile("brief", max_examples=5, stateful_step_count=10)
settings.load_profile("brief")
"""
SERVER = '"redis://127.0.0.1:6379"'


def written(folder: Path, *names: str) -> Path:
    """A project of these snippets."""
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    for name in names:
        (folder / name).write_text(SNIPPETS[name], encoding="utf-8")
    return folder


def test_its_snippets_are_tests_that_pass(tmp_path: Path) -> None:
    names = [name for name in SNIPPETS if name != "test_my_server.py"]
    assert sorted(names) == [
        "conftest.py",
        "test_approval.py",
        "test_orders.py",
        "test_orders_at_random.py",
        "test_views.py",
    ]
    project = written(tmp_path, *names)
    (project / "conftest.py").write_text(SNIPPETS["conftest.py"] + BRIEF, encoding="utf-8")

    found = run_pytest(project)

    assert found.counts == {"passed": 5}, found.text


def test_a_new_backend_is_under_ten_lines_and_passes_as_it_stands(
    tmp_path: Path, valkey_url: str
) -> None:
    snippet = SNIPPETS["test_my_server.py"]
    assert len([line for line in snippet.splitlines() if line.strip()]) < 10
    assert snippet.count(SERVER) == 1
    file = written(tmp_path) / "test_my_server.py"
    file.write_text(snippet.replace(SERVER, repr(valkey_url)), encoding="utf-8")

    found = run_pytest(tmp_path)

    assert found.counts.keys() == {"passed"}, found.text
    assert found.counts["passed"] > 60


def test_a_claim_that_does_not_hold_reads_as_shown(tmp_path: Path) -> None:
    shown = re.search(r"```\n(the command .+?)```", PAGE, re.DOTALL)
    assert shown is not None
    wrong = SNIPPETS["test_orders.py"].replace(
        'OrderCancelled("late", "ann")', 'OrderCancelled("lost", "ann")'
    )
    code = f"{wrong}\ntest_a_pending_order_can_be_cancelled()\n"

    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert said.stderr.endswith(f"AssertionError: {shown[1]}")


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_its_lines_fit_the_page(name: str) -> None:
    assert max(map(len, SNIPPETS[name].splitlines())) <= 100
