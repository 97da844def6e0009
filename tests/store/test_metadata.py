"""What is stored beside an event, and what releases that know less or more make of it."""

import pytest

from whence.store.metadata import (
    NO_METADATA,
    Metadata,
    decode_metadata,
    encode_metadata,
    trace_id,
)

IDS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_nobody_said_takes_no_byte() -> None:
    assert encode_metadata(NO_METADATA) == b""
    assert decode_metadata(b"") is NO_METADATA


def test_the_stored_form() -> None:
    metadata = Metadata("ann", "late", "story", "cause", f"00-{IDS}", {"a": "b"})
    stored = (
        b'{"who":"ann","reason":"late","correlation_id":"story","causation_id":"cause",'
        b'"trace":"00-' + IDS.encode() + b'","notes":{"a":"b"}}'
    )
    assert encode_metadata(metadata) == stored
    assert decode_metadata(stored) == metadata


def test_fields_of_another_release_do_no_harm() -> None:
    assert decode_metadata(b'{"who":"ann","planet":"mars"}') == Metadata(who="ann")


@pytest.mark.parametrize("traceparent", [f"00-{IDS}", f"01-{IDS}", f"01-{IDS}-more"])
def test_a_traceparent_names_its_trace(traceparent: str) -> None:
    assert trace_id(traceparent) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        f"ff-{IDS}",
        f"00-{IDS}-more",
        f"00-{IDS}\n",
        f"00-{IDS.upper()}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        f"01-{IDS}-{'x' * 201}",
    ],
)
def test_what_is_no_traceparent_names_none(text: str) -> None:
    assert trace_id(text) == ""
