"""Lines of the log say where something failed, and repeat no value, whoever wrote them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fraud

MARK = "tok-qzx7"
_AS_TEXT = re.compile(r"(str|repr)\((error|failed|stopped|why)\)|\{(error|failed|stopped|why)\b")
BEGIN = f"""
import asyncio, gc, logging, threading
import structlog
from fraud.cli.logs import write_logs
from fraud.errors import InvalidInput, NotFound, told
write_logs(LEVEL, as_json=JSON)
log = structlog.get_logger("test")
def fail(token="{MARK}"):
    local = [token]
    try:
        {{}}[token]
    except KeyError as error:
        raise ValueError(f"no {{local}}") from error
"""
WAYS = {
    "caught": "try:\n    fail()\nexcept ValueError:\n    log.exception('it failed')",
    "named": f"log.error('refused', why=InvalidInput('currency', '{MARK} is none', 'send one'))",
    "of a thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "of a library": f"logging.getLogger('x').error('it failed for %s', '{MARK}')",
    "of a task": (
        "async def main():\n    t = asyncio.ensure_future(asyncio.to_thread(fail))\n"
        "    await asyncio.wait([t])\n    del t\n    gc.collect()\nasyncio.run(main())"
    ),
    "of the process": "fail()",
}


def written(way: str, level: str, as_json: bool) -> str:
    """Return what a process writes that does this."""
    code = BEGIN.replace("LEVEL", repr(level)).replace("JSON", repr(as_json)) + WAYS[way]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_told_without_its_values(way: str, as_json: bool) -> None:
    text = written(way, "info", as_json)
    assert MARK not in text
    assert {"named": "currency: refused; send one", "of a library": "it failed for %s"}.get(
        way, "ValueError"
    ) in text
    if way not in ("named", "of a library"):
        assert "in fail" in text, "where it was"
        assert "KeyError" in text, "and what was behind it"


@pytest.mark.parametrize("way", WAYS)
def test_debug_shows_messages(way: str) -> None:
    assert MARK in written(way, "debug", as_json=True)


def test_no_call_of_a_log_makes_text_of_an_error_by_itself() -> None:
    """Given as it is, an error is told by `fraud.cli.logs`; as text, nobody knows any more what it was."""
    found = []
    for path in sorted(Path(fraud.__file__).parent.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("_log."):
                given = [ast.unparse(it) for it in (*call.args, *(word.value for word in call.keywords))]
                found += [f"{path.name}: {it}" for it in given if _AS_TEXT.search(it)]
    assert found == []
