"""The short form of a version's curve."""

from rich.console import Console

from fraud.cli.curve import SHOWN, curve_table
from fraud.policy.thresholds import Thresholds
from fraud.policy.trade import Point, TradeCurve

POINTS = tuple(
    Point(1 - i / 50, 3.0 * i, None if i == 0 else 0.5, i / 50, i / 60, 100.0 + i) for i in range(50)
)
CURVE = TradeCurve({"loss_share": 1.0, "friction_minor": 500.0}, Thresholds(None, 0.5, 0.5), POINTS)


def printed(manifest: dict[str, object]) -> str:
    console = Console(width=140)
    with console.capture() as told:
        console.print(curve_table(manifest) or "none")
    return told.get()


def test_about_ten_points_and_the_solved_thresholds_are_shown() -> None:
    text = printed({"policy_curve": CURVE.to_dict()})
    assert "cost: loss_share 1, friction_minor 500" in text
    assert "review, decline" in text
    rows = [line.strip() for line in text.splitlines() if line.strip().startswith(("0.", "1."))]
    assert SHOWN <= len(rows) <= SHOWN + 1
    assert "75.0" in next(line for line in rows if line.startswith("0.5000"))


def test_a_version_without_a_curve_shows_none() -> None:
    assert printed({}).strip() == "none"
    assert printed({"policy_curve": TradeCurve({}, Thresholds(), ()).to_dict()}).strip() == "none"
