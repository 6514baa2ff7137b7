"""Tells of the demo on a terminal: one screen that is drawn anew every evening.

head: day, progress
the gang against the service        |  … against its first champion
  what it tries, what it earns      |
  recall, value stopped, money lost |
the loop: champion, counts, alarms; what happened last
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.figures import RECENT_DAYS, DemoResult, euros
from fraud.adversary.narrator import Narrator, share_of
from fraud.adversary.telling import STYLES, Standing, mix, spelled

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BAR_WIDTH = 16
_SPARK_DAYS = 40
_HAPPENINGS = 11
_FAMILIES = 4
_SIDE_ROWS = 11


class LiveView:
    """A `Teller` on one terminal; a context manager, which ends the screen before the summary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", Text("starting", "dim"))
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(self._spinner)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Show what is going on."""
        self._spinner.update(text=Text(text, "dim"))

    def day(self, standing: Standing) -> None:
        """Draw an evening."""
        day, days = standing.day, standing.plan.days
        self._spinner.update(text=Text(f"playing day {min(day.day + 1, days - 1)}", "dim"))
        self._live.update(Group(_screen(standing), self._spinner))

    def end(self, result: DemoResult, report: Path) -> None:
        """Leave the screen and sum up below it."""
        self._live.stop()
        Narrator(self._console).end(result, report)


def _screen(standing: Standing) -> Group:
    sides = Table.grid(expand=True)
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    sides.add_row(
        _side(standing, standing.service, "the gang against this service", "blue"),
        _side(standing, standing.never, "… against its first champion, never retrained", "yellow"),
    )
    return Group(_head(standing), sides, _loop(standing))


def _head(standing: Standing) -> Text:
    day, days = standing.day, standing.plan.days
    done = round(30 * (day.day + 1) / days)
    head = Text(f" day {day.day} of {days - 1}  {day.date}  ", "bold")
    head.append("━" * done, "green")
    head.append("━" * (30 - done), "dim")
    if not day.champion:
        head.append("  no model yet: all is approved, labels come in", "dim")
    return head


def _side(standing: Standing, result: ContestResult, title: str, colour: str) -> Panel:
    lines = [_tried(name, share) for name, share in mix(result, days=3)[:_FAMILIES]]
    lines += [Text()] * (_FAMILIES - len(lines))
    today, recent = result.days[-1], standing.recent(result)
    lines += [
        Text(f"{'it earned today':22}{euros(today.profit_minor):>10}"),
        Text.assemble(
            f"{f'recall, {RECENT_DAYS} days':22}",
            (f"{share_of(recent.recall):>10}  ", "bold"),
            (_spark(result, standing.plan.first_day + 1), colour),
        ),
        Text(f"{f'value stopped, {RECENT_DAYS} days':22}{share_of(recent.value_stopped):>10}"),
        Text(f"{'false alarms a day':22}{recent.false_declines_per_day:>10.0f}"),
        Text(f"{'money lost so far':22}{euros(standing.lost_minor(result)):>10}", "bold"),
    ]
    return Panel(Group(*lines), title=title, title_align="left", border_style=colour, height=_SIDE_ROWS)


def _tried(name: str, share: float) -> Text:
    line = Text(f"{spelled(name):19}")
    line.append("█" * round(_BAR_WIDTH * share), "magenta")
    line.append(f" {share:.0%}")
    return line


def _spark(result: ContestResult, first: int) -> str:
    """Return recall by day since `first` as a row of blocks, the last days of it."""
    values = [result.recall(day, day + 1) for day in range(first, len(result.days))][-_SPARK_DAYS:]
    steps = len(_BLOCKS) - 1
    return "".join("·" if value != value else _BLOCKS[max(1, round(value * steps))] for value in values)


def _loop(standing: Standing) -> Panel:
    day = standing.day
    emergencies = standing.count("emergency")
    state = Text("champion ", "dim")
    state.append(day.champion or "none", "bold green" if day.champion else "dim")
    state.append(f"   retrains {standing.count('retrain') + emergencies}, {emergencies} in emergencies")
    state.append(f"   promotions {standing.count('promotion')}   rollbacks {standing.count('rollback')}")
    if day.frozen:
        state.append("   TRAINING FROZEN", "bold red")
    if day.probing:
        state.append(f"   PROBING: {', '.join(day.probing)}", "bold magenta")
    lines = [state]
    for happening in standing.happenings[-_HAPPENINGS:]:
        line = Text(f"{happening.day:>3}  ", "dim")
        line.append(happening.text, STYLES[happening.kind])
        line.no_wrap, line.overflow = True, "ellipsis"
        lines.append(line)
    lines += [Text()] * (_HAPPENINGS + 1 - len(lines))
    return Panel(Group(*lines), title="the loop", title_align="left", border_style="green")
