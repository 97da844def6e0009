"""The pages of docs/, and the code that they show."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


PAGES = sorted(
    str(path.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")
)


def text(name: str) -> str:
    """A page as it stands in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def snippets(page: str) -> list[str]:
    """The Python that a page shows, block by block."""
    return re.findall(r"```python\n(.+?)```", text(page), re.DOTALL)


async def run(snippet: str, names: dict[str, Any]) -> None:
    """Do what a snippet says, with these names around it; those that it makes are added.

    A loop over what never ends, or is long, is left after its first round.
    """
    tree = ast.fix_missing_locations(_Once().visit(ast.parse(snippet)))
    code = compile(tree, "<page>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    ending = eval(code, names)
    if inspect.isawaitable(ending):
        await ending


class _Once(ast.NodeTransformer):
    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AsyncFor:
        node.body.append(ast.Break())
        return node
