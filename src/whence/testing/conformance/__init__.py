"""The promises of a store, as tests: whence.testing.store_conformance puts them together."""

from pkgutil import iter_modules

import pytest

# A failed assertion shows its values only in modules that pytest was told of before their import.
pytest.register_assert_rewrite(*[part.name for part in iter_modules(__path__, f"{__name__}.")])
