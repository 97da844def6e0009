"""A timer as it is stored: a command that waits for its moment, and what it follows from."""

import msgspec

from whence.actors.model import WriteModel
from whence.reactions.arguments import encode_arguments
from whence.reactions.then import Send, SetTimer
from whence.store.errors import CorruptStore
from whence.store.ids import StreamId


class Timer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command for ``aggregate`` / ``id`` at ``due_ms`` (milliseconds since 1970).

    ``cause`` is the event that set it, as ``order/42@1``. The command goes out under
    ``command_id``, so it takes effect once however often it is sent.
    """

    due_ms: int
    aggregate: str
    id: str
    command: str
    arguments: msgspec.Raw
    command_id: str
    cause: str
    correlation_id: str = ""
    trace: str = ""

    @classmethod
    def of(
        cls, intent: SetTimer, *, command_id: str, cause: str, correlation_id: str, trace: str
    ) -> "Timer":
        send = intent.send
        arguments = msgspec.Raw(encode_arguments(send.command, send.arguments))
        return cls(
            intent.due_ms,
            send.kind.name,
            send.id,
            send.command.name,
            arguments,
            command_id,
            cause,
            correlation_id,
            trace,
        )

    @property
    def target(self) -> StreamId:
        return StreamId(self.aggregate, self.id)

    def send(self, model: WriteModel) -> Send:
        """The command as this release understands it.

        Raises:
            UnknownAggregate, UnknownCommand, InvalidCommand: it has changed since.
        """
        kind = model.aggregate(self.aggregate)
        command = kind.command(self.command)
        return Send(kind, command, self.id, command.decode(bytes(self.arguments)))


class TimerId(msgspec.Struct, frozen=True, order=True):
    """Names a timer within its reaction: the aggregate whose event has set it, and its name."""

    stream: StreamId
    name: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.name}"

    @classmethod
    def parse(cls, text: bytes) -> "TimerId":
        """The inverse of ``str``; for text that this program has written itself."""
        stream, _, name = text.decode().rpartition("/")
        return cls(StreamId.parse(stream), name)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Timer).decode


def encode_timer(timer: Timer) -> bytes:
    return _encode(timer)


def decode_timer(timer: TimerId, data: bytes) -> Timer:
    """Raises CorruptStore for what ``encode_timer`` has not written."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise CorruptStore(f"the timer {timer} cannot be read: {data[:80]!r} ({error})") from error
