"""The tables that Whence keeps in the database of SQL views, beside the views themselves.

They say where each view stands, and are written in the transaction that moves it.
"""

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

_NAME = String(200)

ours = MetaData()

# Where a view stands: the event that was applied last, in which log, and who may apply the next.
checkpoints = Table(
    "whence_checkpoint",
    ours,
    Column("projection", _NAME, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("anchor", Text, nullable=False),
    Column("log", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

# The sequences that a view goes on without, from which event on, and why. ``since_us`` is in
# microseconds since 1970.
parked = Table(
    "whence_parked",
    ours,
    Column("projection", _NAME, primary_key=True),
    Column("stream", String(300), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

# The events that a view does without, by somebody's decision.
skipped = Table(
    "whence_skipped",
    ours,
    Column("projection", _NAME, primary_key=True),
    Column("event", String(300), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("skip", Text, nullable=False),
)

# The generations that were given up for good.
dropped = Table("whence_dropped", ours, Column("projection", _NAME, primary_key=True))
