"""Where the commands find the domain."""

from pathlib import Path

import pytest

from examples.orders import domain
from tests.cli.program import ORDERS
from whence.cli.settings import find_domain
from whence.store.errors import InvalidSetting


def test_the_option_comes_before_pyproject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.whence]\ndomain = "no.such:domain"\n')
    assert find_domain(ORDERS) is domain


def test_pyproject_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(f'[tool.whence]\ndomain = "{ORDERS}"\n')
    assert find_domain(None) is domain


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no domain is given"),
        ("[project]\nname = 'shop'\n", "no domain is given"),
        ("[tool.whence]\ndomain = 3\n", "domain in pyproject.toml is 3"),
        ("tool = \n", "pyproject.toml cannot be read"),
        ("\udcff", "pyproject.toml cannot be read"),
    ],
    ids=["no file", "no such table", "a number", "no TOML", "no UTF-8"],
)
def test_without_one_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidSetting) as caught:
        find_domain(None)
    assert sentence in str(caught.value)
