"""Fuzzes what reads bytes, guided by coverage: `python -m tests.fuzz --minutes 10` or `--target event`.

Each target runs in a process of its own (a reader that takes its process down is a finding, too) and
writes bytes that fail to `build/fuzz/`. The table says what was tried; the exit status is 1 with findings.
"""

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import TARGETS

FINDINGS = Path("build/fuzz")
_DONE = re.compile(r"Done (\d+) in")
_COVERED = re.compile(r"cov: (\d+)")
_COUNTED = re.compile(r"^#(\d+)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of fuzzing one target; `covered` counts branches, of Python's own readers too."""

    target: str
    inputs: int
    seconds: float
    covered: int
    finding: str


def main() -> int:
    """Fuzz the chosen targets one behind the other and print what came of it."""
    options = _options()
    if find_spec("atheris") is None:
        print("atheris is not installed, so nothing was fuzzed; run make fuzz")  # noqa: T201
        return 0
    FINDINGS.mkdir(parents=True, exist_ok=True)
    names = [options.target] if options.target else list(TARGETS)
    seconds = 60 * options.minutes / len(names)
    print(f"{'target':16} {'inputs':>9} {'seconds':>8} {'branches':>9}  findings")  # noqa: T201
    runs = []
    for name in names:
        run = fuzz(name, max(1, round(seconds)), options.seed)
        runs.append(run)
        print(  # noqa: T201
            f"{run.target:16} {run.inputs:9} {run.seconds:8.0f} {run.covered:9}  {run.finding or 'none'}",
            flush=True,
        )
    print(f"{'all':16} {sum(run.inputs for run in runs):9} {sum(run.seconds for run in runs):8.0f}")  # noqa: T201
    return int(any(run.finding for run in runs))


def fuzz(name: str, seconds: int, seed: int) -> Run:
    """Fuzz one target for so long."""
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.guided",
        name,
        str(seconds),
        str(seed),
        str(FINDINGS / f"{name}-"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    told = done.stdout + done.stderr
    counts = [int(count) for count in _DONE.findall(told) or _COUNTED.findall(told)]
    covered = [int(count) for count in _COVERED.findall(told)]
    return Run(
        name,
        max(counts, default=0),
        time.monotonic() - started,
        max(covered, default=0),
        _finding(told, done.returncode),
    )


def _finding(told: str, status: int) -> str:
    if status == 0:
        return ""
    said = [
        line.strip() for line in told.splitlines() if re.match(r"\s*[\w.]*(Error|Exception|ERROR)\b", line)
    ]
    kept = re.findall(r"Test unit written to (\S+)", told)
    return f"status {status}: {said[0] if said else 'no word'} ({kept[0] if kept else 'no input kept'})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", choices=list(TARGETS), help="one of them; default: each in turn")
    parser.add_argument("--minutes", type=float, default=1.0, help="of all targets together (1)")
    parser.add_argument("--seed", type=int, default=20261128, help="of the mutations")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
