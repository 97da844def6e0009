"""The installed wheel, in a folder of its own: place an order, ask why, start again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DOMAIN = """
from whence import Aggregate, Domain, Event, Projection, command, on, replace

from msgspec import Struct


class NoteWritten(Event):
    text: str


class Note(Aggregate[NoteWritten]):
    text: str = ""

    @command
    def write(self, text: str) -> NoteWritten:
        return NoteWritten(text)

    def apply(self, event: NoteWritten) -> "Note":
        return replace(self, text=event.text)


class Row(Struct, frozen=True):
    text: str


class Notes(Projection[Row]):
    @on(NoteWritten)
    def written(self, event, record, views):
        views.put(record.id, Row(event.text))


domain = Domain(aggregates=[Note], projections=[Notes])
"""

# The test kit needs nothing that the wheel does not bring.
TEST = """
from smoke_domain import Note, NoteWritten
from whence.testing import given

given(Note).when(Note.write, "hello").then(NoteWritten("hello")).then_state(text="hello")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def wait_for(url: str, ready, what: str) -> dict[str, object]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answer = ask(url)
            if ready(answer):
                return answer
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.05)
    raise SystemExit(f"smoke: {what} did not happen within 30 s")


def session(port: int, talk) -> None:
    whence = str(Path(sys.executable).parent / "whence")
    command = [whence, "dev", "smoke_domain:domain", "--port", str(port), "--data", "data"]
    process = subprocess.Popen(command, env={**os.environ, "WHENCE_URL": ""})
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", lambda _: True, "readiness")
        talk(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)
    if code != 0:
        raise SystemExit(f"smoke: whence dev ended with {code}")


def first(base: str) -> None:
    ask(f"{base}/notes/1/write", {"text": "hello"})
    written = ask(f"{base}/notes/1/write", {"text": "goodbye"})
    assert written["version"] == 2, written
    wait_for(f"{base}/views/notes", lambda page: page["total"] == 1, "the view")
    # Templates and files beside the code came along.
    for address in ("/explorer/aggregates/note/1", "/explorer/static/explorer.css"):
        with urllib.request.urlopen(f"{base}{address}", timeout=5) as answer:
            assert answer.status == 200, address


def second(base: str) -> None:
    state = ask(f"{base}/notes/1")
    assert state["version"] == 2, state
    assert state["state"] == {"text": "goodbye"}, state
    why = ask(f"{base}/notes/1/why?field=text")
    assert "NoteWritten" in json.dumps(why), why


Path("smoke_domain.py").write_text(DOMAIN, encoding="utf-8")
session(free_port(), first)
session(free_port(), second)
subprocess.run([sys.executable, "-c", TEST], check=True)
print("smoke: the installed wheel keeps and explains its events")
