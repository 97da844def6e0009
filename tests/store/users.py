"""The users of docs/servers.md, as the lines of its ACL file have them."""

from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
# One that a URL cannot have as it is.
PASSWORD, QUOTED = "p@ss/word", "p%40ss%2Fword"


def documented() -> dict[str, list[str]]:
    """The rules of each user, with this password."""
    users = [line.split() for line in PAGE.splitlines() if line.startswith("user ")]
    return {
        name: [f">{PASSWORD}" if rule.startswith(">") else rule for rule in rules]
        for _, name, *rules in users
    }
