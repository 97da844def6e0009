"""A page as a reader meets it: its text, its links, its tags."""

from html.parser import HTMLParser

import httpx

from tests.web.client import Client

_WITHOUT_END = {"meta", "link", "input", "br"}

_CELLS = {"dd", "dt", "td", "th"}


class Html(HTMLParser):
    """Attributes: ``text`` as one line, ``links`` by their text, ``tags`` with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._pieces: list[str] = []
        self._link: str | None = None
        self._open: list[str] = []
        self.feed(source)
        self.text = " ".join("".join(self._pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag not in _WITHOUT_END:
            self._open.append(tag)
        if tag == "a":
            self._link = found["href"]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} ends, but another one is open: {self._open}"
        if tag == "a":
            self._link = None
        if tag in _CELLS:
            self._pieces.append(" ")

    def handle_data(self, data: str) -> None:
        self._pieces.append(data)
        if self._link is not None:
            self.links[data.strip()] = self._link

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of all such tags."""
        return [
            found
            for name, found in self.tags
            if name == tag and attributes.items() <= found.items()
        ]


def html(response: httpx.Response, status: int = 200) -> Html:
    """The page of a response that has to have this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Html(response.text)


async def page(client: Client, path: str, status: int = 200) -> Html:
    return html(await client.get(path), status)
