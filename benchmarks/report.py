"""What every benchmark prints: its table, the machine, and a line per bar.

    rows + bars + notes → Report → finish() → table or JSON, exit status

A bar is `ok` when its value reaches the bound and `short` when it does not (NaN
never does). `--quick` runs are too short to be fair to anybody: they show that a
benchmark runs, so their bars read `not judged` and cannot fail, unless a bar says
`fair_when_quick` because its figure does not depend on how long the run was.
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent
UNKNOWN = "unknown"
"""Stands for a commit that nobody can tell."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure with the bound it has to reach: at least `bound`, or at most."""

    name: str
    value: float
    bound: float
    at_least: bool = True
    fair_when_quick: bool = False

    def verdict(self, quick: bool) -> str:
        """Return `ok`, `short` or `not judged`."""
        if quick and not self.fair_when_quick:
            return "not judged"
        reached = self.value >= self.bound if self.at_least else self.value <= self.bound
        return "ok" if reached else "short"


@dataclass
class Report:
    """A benchmark's result. `rows` share their keys; a missing key prints as a dash."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parser(description: str) -> argparse.ArgumentParser:
    """Make an argument parser that knows `--quick` and `--output`."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="fit a minute; show that it runs, judge nothing")
    made.add_argument("--output", choices=("table", "json"), default="table")
    return made


def finish(report: Report, arguments: argparse.Namespace) -> int:
    """Print the report as asked and return the exit status: 1 when a bar is short."""
    if arguments.output == "json":
        print(json.dumps(as_json(report, arguments.quick), indent=2))
    else:
        _print_table(report, arguments.quick)
    return int(any(bar.verdict(arguments.quick) == "short" for bar in report.bars))


def as_json(report: Report, quick: bool) -> dict[str, Any]:
    """Return the report as JSON values; figures that are not finite become null."""
    return {
        "title": report.title,
        "machine": machine(),
        "commit": commit(),
        "command": command(),
        "quick": quick,
        "rows": [{key: _finite(value) for key, value in row.items()} for row in report.rows],
        "bars": [
            {
                "name": bar.name,
                "value": _finite(bar.value),
                "bound": bar.bound,
                "at_least": bar.at_least,
                "verdict": bar.verdict(quick),
            }
            for bar in report.bars
        ],
        "notes": report.notes,
    }


def machine() -> dict[str, Any]:
    """Describe the machine: CPU model, cores this process may use, memory in GiB."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def commit() -> str:
    """Return the commit of the work tree, `+` when files differ from it, or `unknown`."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return UNKNOWN
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{head[:12]}{'+' if changed else ''}"


def command() -> str:
    """Return the command line that leads here again."""
    script = Path(sys.argv[0])
    start = f"python -m benchmarks.{script.stem}" if script.parent == FOLDER else script.name
    return " ".join([start, *map(shlex.quote, sys.argv[1:])])


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_table(report: Report, quick: bool) -> None:
    table = Table(title=report.title, title_justify="left")
    columns = list(dict.fromkeys(key for row in report.rows for key in row))
    for column in columns:
        numeric = all(isinstance(row.get(column, 0), int | float) for row in report.rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in report.rows:
        table.add_row(*(_show(row.get(column)) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    here = machine()
    print(f"machine  {here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB")
    print(f"commit   {commit()}")
    print(f"command  {command()}")
    for note in report.notes:
        print(f"note     {note}")
    for bar in report.bars:
        sign = "≥" if bar.at_least else "≤"
        print(f"bar      {bar.name}  {_show(bar.value)}  {sign} {_show(bar.bound)}  {bar.verdict(quick)}")


def _show(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
