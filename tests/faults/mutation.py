"""Scripts with a check taken out: what a test finds then is what the check is for."""

from types import ModuleType

import pytest

from whence.store.script import Script


def mutated(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str
) -> None:
    """Replace ``old``, which must be there once, in the script that a module has under a name."""
    script: Script = getattr(module, name)
    assert script.source.count(old) == 1, f"{script.name}.lua no longer has {old!r}"
    monkeypatch.setattr(module, name, Script.of(script.name, script.source.replace(old, new)))
