"""A short round of what `make faults` does for minutes with a coverage-guided fuzzer."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.hostile import CORPUS, READERS, anything

ROUNDS = 2_000
NASTY = [b"\0", b"\xff", b"\xed\xa0\x80", b'"', b"{", b"[" * 2_000, b"\\ud800", b"1e999", b"NaN"]


def test_damage_to_what_is_valid_is_told_or_read() -> None:
    chance = random.Random(16)
    for number in range(ROUNDS):
        data = bytearray(CORPUS[number % len(CORPUS)])
        for _ in range(chance.randint(0, 3)):
            place = chance.randint(1, len(data))
            data[place : place + chance.randint(0, 2)] = chance.choice(NASTY)
        anything(bytes(data))


@settings(derandomize=True)
@given(st.integers(0, len(READERS) - 1), st.binary(max_size=200))
def test_bytes_from_anywhere_are_told_or_read(reader: int, data: bytes) -> None:
    READERS[reader](data)


def test_a_reader_that_raises_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> object:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planted")

    monkeypatch.setattr("tests.faults.hostile.decode_metadata", broken)
    with pytest.raises(UnicodeDecodeError):
        test_damage_to_what_is_valid_is_told_or_read()
