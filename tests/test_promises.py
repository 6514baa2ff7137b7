"""Every promise of the README names a test that exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z_0-9]+)`")


def promises() -> list[str]:
    """The rows of the tables of promises."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Promises\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith(("| promise |", "| what happens when |"))]


def functions_of(path: Path) -> set[str]:
    """The test functions of a file; none when there is no such file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_names_a_test() -> None:
    rows = promises()
    assert len(rows) >= 14, "the tables of promises are there"
    assert [row for row in rows if not _NAMED.search(row)] == []


def test_every_test_that_is_named_exists() -> None:
    named = [found for row in promises() for found in _NAMED.findall(row)]
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)] == []
