"""Lua scripts say at their top what they take and give; this holds them to it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    script
    for folder in ("store", "projections", "src/whence/reactions")
    for script in ROOT.glob(f"{folder}/lua/*.lua")
)


def header_of(script: Path) -> list[str]:
    lines = script.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines[1:], 1) if not line.startswith("--"))
    return [line.removeprefix("--").strip() for line in lines[1:end]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
class TestEveryScript:
    def test_refuses_to_run_out_of_memory_and_across_slots(self, script: Path) -> None:
        assert script.read_text(encoding="utf-8").startswith("#!lua\n")

    def test_says_what_it_takes_and_answers(self, script: Path) -> None:
        header = header_of(script)
        for part in ("KEYS:", "ARGV:", "Answers"):
            assert any(line.startswith(part) for line in header), f"{script.name} lacks {part}"

    def test_answers_only_with_words_its_header_names(self, script: Path) -> None:
        text = script.read_text(encoding="utf-8")
        words = set(re.findall(r"return (?:\{ ?)?'(\w+)'", text))
        named = set(re.findall(r"\w+", " ".join(header_of(script))))
        assert words <= named, f"{script.name} answers {words - named} without saying so"

    def test_touches_no_key_it_was_not_given(self, script: Path) -> None:
        text = script.read_text(encoding="utf-8")
        keys = re.findall(r"redis\.p?call\('\w+'(?:, '\w+')?, ([\w.\[\]]+)", text)
        literal = [key for key in keys if key.startswith(("'", '"')) or "ARGV" in key]
        assert not literal


def test_there_are_scripts() -> None:
    assert {script.stem for script in SCRIPTS} >= {"append", "identity"}
