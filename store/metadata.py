"""What is known about an event beside the event: who, why, and what caused it."""

import msgspec


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Stored with each event, as JSON; empty fields cost nothing.

    ``correlation_id`` names the whole story (the request that began it), ``causation_id`` the one
    command or event that led directly to this event. ``notes`` is for anything else worth keeping.
    """

    who: str = ""
    reason: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    notes: dict[str, str] = {}


NO_METADATA = Metadata()

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Metadata)


def encode_metadata(metadata: Metadata) -> bytes:
    return b"" if metadata is NO_METADATA else _encoder.encode(metadata)


def decode_metadata(data: bytes) -> Metadata:
    return _decoder.decode(data) if data else NO_METADATA
