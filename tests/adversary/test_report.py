import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fraud.adversary.figures import DemoResult, Plan, phases, said
from fraud.adversary.pictures import mix_by_day, mix_picture, quality_picture, timeline_picture
from fraud.adversary.report import render, write_report
from fraud.adversary.strategy import known_strategies
from tests.adversary.duels import PLAN, demo_result


@pytest.fixture(scope="module")
def result() -> DemoResult:
    return demo_result()


def test_the_report_is_one_page_that_loads_nothing(result: DemoResult, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(result, path)
    page = path.read_text(encoding="utf-8")
    for outside in ("<script", "<link", "src=", "url(http", "@import"):
        assert outside not in page
    assert page.count("<svg") == 3


def test_the_page_tells_all_that_happened_and_what_came_of_it(result: DemoResult) -> None:
    page = render(result)
    for happening in result.happenings:
        assert happening.text.replace("<", "&lt;").replace(">", "&gt;") in page
    for text in (
        "never retrained",
        "audit: analyst-17 was bought",
        "card-2",
        *(it.name for it in phases(result)),
    ):
        assert text in page
    assert "Not as it should be" not in page


def test_the_same_result_gives_the_same_page(result: DemoResult) -> None:
    assert render(result) == render(result)


@pytest.mark.parametrize(
    ("draw", "drawn"),
    [
        (quality_picture, {"recall-service", "recall-never", "lost-service", "lost-never"}),
        (timeline_picture, {"promotion", "emergency", "freeze", "operator"}),
    ],
)
def test_a_picture_is_well_formed_and_draws_what_it_should(
    result: DemoResult, draw: Callable[[DemoResult], str], drawn: set[str]
) -> None:
    root = ElementTree.fromstring(draw(result))
    assert drawn <= {element.get("id") for element in root.iter()}


def test_the_mix_names_every_strategy_and_is_shares_of_what_is_attempted(result: DemoResult) -> None:
    root = ElementTree.fromstring(mix_picture(result))
    labels = {text for element in root.iter() for text in [element.text] if text}
    names = [strategy.name for strategy in known_strategies()]
    assert {name.replace("_", " ") for name in names} <= labels
    shares = mix_by_day(result.service, names)
    attempted = np.array([day.attempted_minor for day in result.service.days])
    assert np.allclose(shares.sum(axis=0)[attempted > 0], 1.0)
    day = result.service.days[0]
    assert shares[:, 0].tolist() == pytest.approx(
        [day.attempted.get(name, 0) / day.attempted_minor for name in names]
    )


def test_phases_cover_every_day_once_and_the_last_all_days_with_a_model(result: DemoResult) -> None:
    *parts, whole = phases(result)
    assert [day for part in parts for day in range(part.first, part.end)] == list(range(PLAN.days))
    assert (whole.first, whole.end) == (PLAN.first_day + 1, PLAN.days)
    lost = sum(day.lost_minor for day in result.service.days[whole.first :])
    assert whole.service.lost_per_day * (whole.end - whole.first) == pytest.approx(lost)


def test_what_came_of_it_is_said_with_the_sides_as_they_are(result: DemoResult) -> None:
    ours, theirs = phases(result)[-1].service, phases(result)[-1].never
    assert ours.lost_per_day != theirs.lost_per_day
    turned = demo_result(service=result.never, never=result.service)
    words = {True: "less.", False: "more."}
    assert said(result)[0].endswith(words[ours.lost_per_day < theirs.lost_per_day])
    assert said(turned)[0].endswith(words[theirs.lost_per_day < ours.lost_per_day])


def test_the_figures_go_through_json_unchanged(result: DemoResult) -> None:
    document = json.loads(json.dumps(result.as_json()))
    assert document["service"]["days"][3]["lost_minor"] == result.service.days[3].lost_minor
    assert document["phases"][-1]["service"]["recall"] == phases(result)[-1].service.recall
    assert document["said"] == list(said(result))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"failed": ("ScoreBatch: gone",)}, "1 requests or labels failed, first: ScoreBatch: gone"),
        ({"logged": 3}, "3 stand in the log"),
        ({"unlike": 2}, "2 scores of the first champion differ"),
        ({"days": ()}, "no version was ever promoted"),
    ],
)
def test_what_broke_is_said(changed: dict[str, object], problem: str) -> None:
    found = demo_result(**changed).problems
    assert any(problem in it for it in found), found


def test_days_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="must follow each other"):
        Plan(days=20)
