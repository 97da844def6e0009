"""The README shows what there is."""

import whence
from tests.docs.pages import text


def test_it_shows_the_domain_file_in_full() -> None:
    domain = text("examples/orders/domain.py")
    assert f"```python\n{domain.rstrip()}\n```" in text("README.md")


def test_the_public_names_are_twelve() -> None:
    assert len(whence.__all__) == 12
    assert all(hasattr(whence, name) for name in whence.__all__)
