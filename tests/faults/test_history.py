"""What a process writes down is there when it is killed in the middle."""

import time
from pathlib import Path

from tests.faults.history import Recorder, recorded

ACCOUNT = "account/1"


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    with Recorder(tmp_path / "one", "1") as recorder:
        number = recorder.sent(ACCOUNT, "n1", events=2, expected=3)
        recorder.answered(number, "ok", [4, 5], 17, ["{}", "[]"])
        recorder.read(time.monotonic_ns(), ACCOUNT, 5, 123)

    history = recorded([tmp_path / "one"])

    ((sent, answered),) = history.attempts
    assert (sent.process, sent.stream, sent.command) == ("1", ACCOUNT, "n1")
    assert (sent.events, sent.expected) == (2, 3)
    assert answered is not None
    assert (answered.outcome, answered.versions, answered.position) == ("ok", (4, 5), 17)
    assert answered.data == ("{}", "[]")
    assert sent.at <= answered.at
    (read,) = history.reads
    assert (read.stream, read.version, read.digest) == (ACCOUNT, 5, 123)


def test_a_command_without_an_answer_is_unknown(tmp_path: Path) -> None:
    with Recorder(tmp_path / "one", "1") as recorder:
        recorder.sent(ACCOUNT, "n1")

    (attempt,) = recorded([tmp_path / "one"]).attempts

    assert attempt.answered is None
    assert attempt.outcome == "unknown"


def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with Recorder(path, "1") as recorder:
        recorder.answered(recorder.sent(ACCOUNT, "n1"), "rejected")
        recorder.answered(recorder.sent(ACCOUNT, "n2"), "rejected")
    path.write_bytes(path.read_bytes()[:-5])

    outcomes = {each.sent.command: each.outcome for each in recorded([path]).attempts}

    assert outcomes == {"n1": "rejected", "n2": "unknown"}
