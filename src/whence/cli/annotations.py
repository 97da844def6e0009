"""Findings as lines that people read, or that GitHub attaches to the lines of a pull request."""

from pathlib import Path

from whence.store.finding import Finding


def as_text(finding: Finding) -> str:
    """``file:line: error: message``, as editors find it."""
    where = ""
    if finding.place is not None:
        line = f":{finding.place.line}" if finding.place.line else ""
        where = f"{_relative(finding.place.file)}{line}: "
    return f"{where}{finding.severity}: {finding.message}"


def as_github(finding: Finding) -> str:
    """A workflow command; see "Workflow commands for GitHub Actions" for its escapes."""
    properties = ""
    if finding.place is not None:
        properties = f" file={_property(str(_relative(finding.place.file)))}"
        if finding.place.line:
            properties += f",line={finding.place.line}"
    return f"::{finding.severity}{properties}::{_data(finding.message)}"


def _relative(file: Path) -> Path:
    """The path below the current folder, which GitHub expects; another one stays absolute."""
    full, here = file.resolve(), Path.cwd()
    return full.relative_to(here) if full.is_relative_to(here) else full


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
