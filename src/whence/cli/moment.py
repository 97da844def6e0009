"""How a moment is given on the command line."""

from datetime import datetime

import click


class Moment(click.ParamType[datetime]):
    """A moment with its offset from UTC, as 2026-01-31T12:00:00Z."""

    name = "moment"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a moment: write it as 2026-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(
                f"{value!r} is another moment in each time zone: add Z for UTC, or an offset as "
                "+01:00",
                param,
                ctx,
            )
        return found
