"""Tells people what happens while it happens, and sums it up at the end."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fraud.adversary.figures import CycleFigures, DayFigures, DemoResult, Quality, VerdictFigures

_VERDICT_STYLE = {"PROMOTE": "bold green", "REJECT": "red", "INCONCLUSIVE": "yellow"}


class Narrator:
    """Prints to one console; what people read, never what machines do."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str, style: str = "dim") -> None:
        """Say one thing."""
        self._say(Text(text, style))

    def _say(self, line: Text) -> None:
        # A line stays one line where output is no terminal; a terminal folds it itself.
        self._console.print(line, soft_wrap=True)

    def columns(self) -> None:
        """Head the lines of the days."""
        self._say(
            Text(
                f"\n{'':10}{'payments':>9}{'frauds':>7}  {'caught by the service':>22}"
                f"{'by the first champion':>22}  champion",
                "bold",
            )
        )

    def day(self, day: DayFigures) -> None:
        """Print the line of one day."""
        versions = " → ".join(day.versions) or "none yet"
        line = Text(f"{day.date:10}{day.transactions:>9,}{day.frauds:>7}  ")
        line.append(f"{_caught(day.service):>22}", _recall_style(day.service))
        line.append(f"{_caught(day.never_retrained):>22}  ")
        line.append(versions)
        self._say(line)

    def verdict(self, verdict: VerdictFigures) -> None:
        """Print the gate's answer about one version; the report has all of its reasons."""
        line = Text("    gate: ")
        line.append(f"{verdict.verdict.outcome} ", _VERDICT_STYLE.get(verdict.verdict.outcome, ""))
        line.append(f"{verdict.version} ({verdict.recipe}) ", "bold")
        line.append(verdict.verdict.reason.partition(";")[0], "dim")
        self._say(line)

    def cycle(self, cycle: CycleFigures) -> None:
        """Print how a retrain went beside live payments."""
        what = f"swapped to {cycle.promoted}" if cycle.promoted else cycle.error or "the champion stays"
        self._say(
            Text(
                f"    retrain: {cycle.seconds:.1f} s, {what}; {cycle.answered} payments answered meanwhile, "
                f"median {cycle.median_ms:.1f} ms, slowest {cycle.slowest_ms:.1f} ms",
                "green" if cycle.promoted else "red" if cycle.error else "dim",
            )
        )

    def summary(self, result: DemoResult, report: Path) -> None:
        """Print the closing table, where the report lies, and what went wrong."""
        table = Table(
            title="\nRecall within the daily alert budget", title_justify="left", title_style="bold"
        )
        for column in ("days", "service", "never retrained"):
            table.add_column(column, justify="left" if column == "days" else "right")
        for name, first, end in phases(result):
            service, never = result.recalls(first, end)
            table.add_row(name, f"{service:.2f}", f"{never:.2f}")
        self._console.print(table)
        promotions = sum(bool(cycle.promoted) for cycle in result.cycles)
        self._console.print(
            f"{result.transactions:,} payments ({result.without_champion:,} before there was a champion), "
            f"{result.labels:,} labels, {len(result.failed)} failed requests, "
            f"{promotions} promotions in {len(result.cycles)} retrains, {result.seconds:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
        self._console.print(f"report: {report}", highlight=False, soft_wrap=True)
        for problem in result.problems:
            self._say(Text(f"NOT AS IT SHOULD BE: {problem}", "bold red"))


def phases(result: DemoResult) -> list[tuple[str, int, int]]:
    """Return (name, first day, end) of what the demo went through, for tables."""
    end = len(result.days)
    parts = [("before the change", 0, result.change_day)]
    recovery = result.recovery_day
    if recovery is None:
        return [*parts, ("after the change", result.change_day, end)]
    return [
        *parts,
        ("after the change, before the promotion", result.change_day, recovery),
        ("after the promotion", recovery, end),
    ]


def _caught(quality: Quality | None) -> str:
    return (
        "–"
        if quality is None
        else f"{quality.caught} ({quality.recall:.0%}, AP {quality.average_precision:.2f})"
    )


def _recall_style(quality: Quality | None) -> str:
    if quality is None:
        return "dim"
    return "green" if quality.recall >= 0.6 else "yellow" if quality.recall >= 0.3 else "red"
