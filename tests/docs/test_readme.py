"""The README shows what there is."""

import re
from pathlib import Path

import whence

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_shows_the_domain_file_in_full() -> None:
    domain = (ROOT / "examples/orders/domain.py").read_text(encoding="utf-8")
    assert f"```python\n{domain.rstrip()}\n```" in README


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_public_names_are_twelve() -> None:
    assert len(whence.__all__) == 12
    assert all(hasattr(whence, name) for name in whence.__all__)
