"""What a project says about Whence in its pyproject.toml."""

import tomllib
from pathlib import Path

from whence.store.errors import InvalidSetting


def configured(name: str, form: str, folder: Path = Path()) -> str | None:
    """What pyproject.toml in a folder, or here, says under [tool.whence]; None if it does not.

    Raises:
        InvalidSetting: it is no text, as ``form`` shows it, or the file cannot be read.
    """
    file = folder / "pyproject.toml"
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{file} cannot be read: {error}") from error
    match settings:
        case {"tool": {"whence": {**ours}}} if name in ours:
            found = ours[name]
            if isinstance(found, str):
                return found
            raise InvalidSetting(f'[tool.whence] {name} in {file} is {found!r}, not "{form}"')
        case _:
            return None
