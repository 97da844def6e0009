"""Every link between the pages leads to a file that is there, and to a heading that it has."""

import re

import pytest

from tests.docs.pages import PAGES, ROOT, text


def headings(page: str) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    outside = re.sub(r"```.+?```", "", text(page), flags=re.DOTALL)
    found = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in found}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in headings(str(target))):
            broken.append(link)
    assert broken == []


def test_a_heading_is_found_by_its_words() -> None:
    assert "when-an-event-cannot-be-applied" in headings("docs/projections.md")
