"""Long-running processes ask for few arenas before a library with a jemalloc is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.cli.arenas import VARIABLE
from tests.serving.worlds import settings_in

TELL = """
import os, sys

class Teller:
    def find_spec(self, name, path=None, target=None):
        if name in ("polars", "deltalake"):
            print(name, os.environ.get(sys.argv[1]), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Teller())
from fraud.cli.main import run
run(sys.argv[2:])
"""


@pytest.mark.parametrize("command", [["serve"], ["retrain", "--watch"]])
@pytest.mark.parametrize("given", [{}, {VARIABLE: "narenas:7"}])
def test_arenas_are_few_unless_somebody_has_said_how_many(
    tmp_path: Path, command: list[str], given: dict[str, str]
) -> None:
    settings_in(tmp_path)
    told = subprocess.run(
        [sys.executable, "-c", TELL, VARIABLE, *command, "--config", str(tmp_path / "fraud.toml")],
        env={name: value for name, value in os.environ.items() if name != VARIABLE} | given,
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,
        check=True,
    )
    library, _, arenas = told.stdout.strip().partition(" ")
    assert library in ("polars", "deltalake")
    assert arenas == given.get(VARIABLE, "narenas:2")
