import argparse
import json
import math

import pytest

from benchmarks.report import Bar, Report, finish, parser


def _arguments(*words: str) -> argparse.Namespace:
    return parser("a benchmark").parse_args(words)


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (Bar("speed", 2.0, 2.0), "ok"),
        (Bar("speed", 1.9, 2.0), "short"),
        (Bar("cost", 2.0, 2.0, at_least=False), "ok"),
        (Bar("cost", 2.1, 2.0, at_least=False), "short"),
        (Bar("broken", math.nan, 2.0), "short"),
        (Bar("broken", math.nan, 2.0, at_least=False), "short"),
    ],
)
def test_a_bar_is_ok_up_to_its_bound_and_never_on_nan(bar: Bar, verdict: str) -> None:
    assert bar.verdict(quick=False) == verdict


def test_a_short_bar_makes_the_exit_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("title", [{"a": 1}], [Bar("speed", 1.0, 2.0)], ["a note"])
    assert finish(report, _arguments()) == 1
    printed = capsys.readouterr().out
    assert "speed  1  ≥ 2  short" in printed
    assert "a note" in printed


def test_a_quick_run_judges_only_what_length_does_not_change(capsys: pytest.CaptureFixture[str]) -> None:
    quick = _arguments("--quick")
    assert finish(Report("title", bars=[Bar("speed", 1.0, 2.0)]), quick) == 0
    assert "not judged" in capsys.readouterr().out
    assert finish(Report("title", bars=[Bar("loss", 1.0, 2.0, fair_when_quick=True)]), quick) == 1


def test_json_holds_the_same_figures_and_nulls_for_what_is_not_finite(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report("title", [{"rate": math.nan, "name": "echo"}], [Bar("speed", 3.0, 2.0)])
    assert finish(report, _arguments("--output", "json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == [{"rate": None, "name": "echo"}]
    assert printed["bars"][0]["verdict"] == "ok"
    assert set(printed) >= {"machine", "commit", "command"}
