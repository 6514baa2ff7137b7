import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fraud.adversary.figures import CycleFigures, DayFigures, DemoResult, VerdictFigures, quality
from fraud.adversary.report import plot, render, write_report
from fraud.adversary.world import World, WorldSettings
from fraud.evaluation.metrics import alert_budget
from fraud.gate.checks import Check
from fraud.gate.verdict import Verdict

SHARE = 0.015
SETTINGS = WorldSettings(days=6, change_day=2, transactions_per_day=1_500, cards=1_500)

VERDICT = Verdict(
    "PROMOTE",
    "superiority",
    (
        Check("superiority", 900.0, 80.0, None, None, True, "14 attacks <caught> by the challenger alone"),
        Check("left_out", None, None, None, None, None, "rows left out"),
    ),
    "superiority: E 900, 80 needed",
)


def demo_result(**changed: object) -> DemoResult:
    """Measure a small world with two simple rankings: amount as the service, distance as the other."""
    world = World(SETTINGS)
    days = []
    for index in range(SETTINGS.days):
        day = world.day(index)
        scored = index > 0
        amounts = day.rows.amount_minor.astype(np.float64)
        days.append(
            DayFigures(
                day=index,
                date=f"2026-03-{index + 2:02d}",
                strategy="ring" if index >= SETTINGS.change_day else "spree",
                transactions=len(day),
                frauds=int(day.is_fraud.sum()),
                budget=alert_budget(len(day), SHARE),
                versions=("card-1", "card-2") if index == 4 else ("card-1",) if scored else (),
                service=quality(day.is_fraud, amounts, SHARE) if scored else None,
                never_retrained=quality(day.is_fraud, day.rows.distance_km, SHARE) if scored else None,
            )
        )
    fields: dict[str, object] = {
        "seed": SETTINGS.seed,
        "change_day": SETTINGS.change_day,
        "alert_share": SHARE,
        "days": tuple(days),
        "cycles": (
            CycleFigures(0, 4.0, "card-1", 50, 2.0, 9.0, ""),
            CycleFigures(3, 5.0, "card-2", 60, 2.0, 9.0, ""),
        ),
        "verdicts": (VerdictFigures(3, "card-2", "full", VERDICT),),
        "transactions": sum(day.transactions for day in days),
        "without_champion": days[0].transactions,
        "logged": sum(day.transactions for day in days),
        "requests": 100,
        "failed": (),
        "labels": 80,
        "scores_repeated": 40,
        "scores_differing": 0,
        "seconds": 12.0,
    }
    return DemoResult(**{**fields, **changed})  # type: ignore[arg-type]


def test_the_report_is_one_page_that_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(demo_result(), path)
    page = path.read_text(encoding="utf-8")
    for outside in ("<script", "<link", "src=", "url(http", "@import"):
        assert outside not in page
    assert page.count("<svg") == 1


def test_the_page_shows_both_models_the_change_the_promotions_and_every_check() -> None:
    page = render(demo_result())
    for text in ("never retrained", "the service", "strategy changes", "card-2", "superiority"):
        assert text in page
    assert "14 attacks &lt;caught&gt; by the challenger alone" in page
    assert "Not as it should be" not in page or demo_result().problems


def test_the_same_result_gives_the_same_page() -> None:
    assert render(demo_result()) == render(demo_result())


def test_the_plot_is_well_formed_and_draws_both_lines() -> None:
    root = ElementTree.fromstring(plot(demo_result()))
    labels = {text for element in root.iter() for text in [element.text] if text}
    assert {"never retrained", "the service", "strategy changes"} <= labels


def test_the_figures_go_through_json_unchanged() -> None:
    result = demo_result()
    document = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert document["days"][3]["service"]["recall"] == result.days[3].service.recall  # type: ignore[union-attr]
    assert document["verdicts"][0]["verdict"]["checks"][0]["name"] == "superiority"
    assert document["recovery_day"] == 4


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"failed": ("Score: gone",)}, "1 requests failed, first: Score: gone"),
        ({"logged": 3}, "3 stand in the log"),
        ({"scores_differing": 2}, "2 scores differ"),
        ({"cycles": ()}, "no version was ever promoted"),
        ({"cycles": (CycleFigures(0, 4.0, "card-1", 50, 2.0, 9.0, ""),)}, "nothing was promoted after"),
        ({"cycles": (CycleFigures(3, 4.0, "", 50, 2.0, 9.0, "boom"),)}, "retrain after day 3 failed: boom"),
    ],
)
def test_what_the_loop_did_not_do_is_said(changed: dict[str, object], problem: str) -> None:
    result = demo_result(**changed)
    assert any(problem in found for found in result.problems), result.problems
    assert "Not as it should be" in render(result)


def test_recall_counts_frauds_within_the_budget_and_a_day_without_frauds_has_none() -> None:
    is_fraud = np.zeros(200, dtype=np.bool_)
    is_fraud[[5, 9, 150]] = True
    scores = np.zeros(200)
    scores[[5, 150, 80]] = [0.9, 0.8, 0.7]
    figures = quality(is_fraud, scores, SHARE)
    assert figures is not None
    assert figures.caught == 2
    assert figures.recall == pytest.approx(2 / 3)
    assert quality(np.zeros(10, dtype=np.bool_), np.zeros(10), SHARE) is None
