"""Tells of the demo in plain lines, for output that is no terminal; and sums it up, for any."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fraud.adversary.figures import DemoResult, Side, euros, phases, said
from fraud.adversary.telling import STYLES, Standing, mix, spelled

_HEAD = f"\n{'day':16}{'champion':10}{'the gang tries':34}{'recall':>7}{'never':>7}{'stopped':>9}{'never':>7}"
_TABLE_WIDTH = 120


class Narrator:
    """A `Teller` that prints a line a day to one console, and a line for whatever happened."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headed = False

    def note(self, text: str) -> None:
        """Say one thing."""
        self._say(Text(text, "dim"))

    def day(self, standing: Standing) -> None:
        """Print the line of one day, and what happened."""
        if not self._headed:
            self._headed = True
            self._say(Text(f"{_HEAD}{'lost so far':>14}{'never':>12}", "bold"))
        self._say(Text(_line(standing)))
        for happening in standing.found:
            self._say(Text(f"    {happening.text}", STYLES[happening.kind]))

    def end(self, result: DemoResult, report: Path) -> None:
        """Print the closing table, what came of it in words, where the report lies, and what went wrong."""
        # Where output is no terminal nobody's width binds.
        width = None if self._console.is_terminal else _TABLE_WIDTH
        self._console.print(_table(result), width=width, crop=False)
        for sentence in said(result):
            self._say(Text(sentence))
        self._say(
            Text(
                f"\n{result.payments:,} payments, {result.retrains} retrains, "
                f"{result.count('promotion')} promotions, {len(result.failed)} failed requests; "
                f"{result.setup_seconds:.0f} s to start, {result.seconds:.0f} s to play",
                "dim",
            )
        )
        self._say(Text(f"report: {report}"))
        for problem in result.problems:
            self._say(Text(f"NOT AS IT SHOULD BE: {problem}", "bold red"))

    def _say(self, line: Text) -> None:
        # A line stays one line where output is no terminal; a terminal folds it itself.
        self._console.print(line, soft_wrap=True)


def _line(standing: Standing) -> str:
    ours, theirs = standing.recent(standing.service), standing.recent(standing.never)
    tries = ", ".join(f"{spelled(name)} {share:.0%}" for name, share in mix(standing.service)[:2])
    day = standing.day
    figures = (ours.recall, theirs.recall, ours.value_stopped, theirs.value_stopped)
    widths = (7, 7, 9, 7)
    shown = "".join(f"{share_of(value):>{width}}" for value, width in zip(figures, widths, strict=True))
    lost, never = (euros(standing.lost_minor(side)) for side in (standing.service, standing.never))
    return f"{day.day:<3} {day.date:12}{day.champion or 'none':10}{tries[:33]:34}{shown}{lost:>14}{never:>12}"


def _table(result: DemoResult) -> Table:
    table = Table(title="\nThe gang against the service / against its first champion, never retrained")
    table.title_justify, table.title_style = "left", "bold"
    table.add_column("days")
    for column in ("recall", "stopped", "lost a day", "false alarms"):
        table.add_column(column, justify="right", no_wrap=True)
    for phase in phases(result):
        pairs = zip(_cells(phase.service), _cells(phase.never), strict=True)
        cells = (f"{ours} / {theirs}" for ours, theirs in pairs)
        table.add_row(f"{phase.name} ({phase.first}–{phase.end - 1})", *cells)
    return table


def _cells(side: Side) -> tuple[str, str, str, str]:
    false = f"{side.false_declines_per_day:.0f}"
    return share_of(side.recall), share_of(side.value_stopped), euros(side.lost_per_day), false


def share_of(value: float) -> str:
    """Spell a share with two digits, a dash for none.

    >>> share_of(0.256), share_of(float("nan"))
    ('.26', '–')
    """
    if value != value:
        return "–"
    return f"{value:.2f}".removeprefix("0")
