import io
from pathlib import Path

import pytest
from rich.console import Console

from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.figures import DemoResult, euros, phases, said
from fraud.adversary.live import LiveView
from fraud.adversary.narrator import Narrator, share_of
from fraud.adversary.telling import Standing, Teller, mix
from tests.adversary.duels import demo_result


@pytest.fixture(scope="module")
def result() -> DemoResult:
    return demo_result()


def _standing(result: DemoResult, day: int) -> Standing:
    def until(side: ContestResult) -> ContestResult:
        return ContestResult(side.defender, side.seed, side.days[: day + 1])

    happenings = tuple(it for it in result.happenings if it.day <= day)
    found = tuple(it for it in happenings if it.day == day)
    sides = until(result.service), until(result.never)
    return Standing(result.plan, result.days[day], *sides, found, happenings)


def _told(result: DemoResult, *, terminal: bool) -> str:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=150, height=50, color_system=None)
    teller: Teller
    if terminal:
        with LiveView(console) as teller:
            for day in range(len(result.days)):
                teller.day(_standing(result, day))
        teller.end(result, Path("report.html"))
    else:
        teller = Narrator(console)
        for day in range(len(result.days)):
            teller.day(_standing(result, day))
        teller.end(result, Path("report.html"))
    return shown.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_both_tell_of_days_happenings_money_and_the_end(result: DemoResult, *, terminal: bool) -> None:
    told = _told(result, terminal=terminal)
    last = _standing(result, len(result.days) - 1)
    for text in (
        result.days[-1].date,
        "card-1",
        euros(last.lost_minor(result.service)),
        euros(last.lost_minor(result.never)),
        share_of(last.recent(result.service).recall),
        "report.html",
        *(it.text for it in result.happenings),
    ):
        assert text in told, text
    flat = " ".join(told.split())
    for sentence in said(result):
        assert sentence in flat
    for phase in phases(result):
        assert f"({phase.first}–{phase.end - 1})" in told


def test_a_frozen_evening_is_shown_on_the_screen(result: DemoResult) -> None:
    shown = io.StringIO()
    with LiveView(Console(file=shown, force_terminal=True, width=150, color_system=None)) as view:
        view.day(_standing(result, 10))
        before = shown.getvalue()
        view.day(_standing(result, 11))
    assert "TRAINING FROZEN" not in before
    assert "TRAINING FROZEN" in shown.getvalue()


def test_the_mix_is_shares_of_the_money_attempted_of_the_last_days(result: DemoResult) -> None:
    found = mix(result.service, days=3)
    attempted = sum(day.attempted_minor for day in result.service.days[-3:])
    name, share = found[0]
    assert sum(share for _, share in found) == pytest.approx(1.0)
    assert share == pytest.approx(
        sum(day.attempted.get(name, 0) for day in result.service.days[-3:]) / attempted
    )
    assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)


def test_money_lost_counts_from_the_first_day_with_a_model(result: DemoResult) -> None:
    standing = _standing(result, result.plan.first_day + 2)
    days = result.never.days[result.plan.first_day + 1 : result.plan.first_day + 3]
    assert standing.lost_minor(standing.never) == sum(day.lost_minor for day in days) > 0
