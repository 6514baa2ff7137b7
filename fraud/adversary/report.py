"""The report of a demo: one HTML file that needs nothing beside it.

DemoResult → pictures (SVG inline) → page (template report.html); see `fraud.report.page`
"""

from pathlib import Path

from fraud.adversary.figures import DemoResult, euros, phases, said
from fraud.adversary.narrator import share_of
from fraud.adversary.pictures import mix_picture, quality_picture, timeline_picture
from fraud.adversary.telling import mix, spelled
from fraud.report.page import render as render_page
from fraud.report.page import require_report_extra


def write_report(result: DemoResult, path: Path) -> None:
    """Write the report of one demo to `path`.

    Raises:
        NotAllowedNow: the extra `report` is not installed.
    """
    require_report_extra()
    path.write_text(render(result), encoding="utf-8")


def render(result: DemoResult) -> str:
    """Return the page; the same result gives the same page."""
    parts = phases(result)
    return render_page(
        "fraud.adversary/report.html",
        result=result,
        phases=parts,
        whole=parts[-1],
        said=said(result),
        quality=quality_picture(result),
        mix=mix_picture(result),
        timeline=timeline_picture(result),
        rows=[_row(result, day) for day in range(len(result.days))],
        euros=euros,
        digits=share_of,
    )


def _row(result: DemoResult, day: int) -> dict[str, object]:
    """Return one day for the page's table, both sides."""
    return {
        "day": result.days[day],
        "tries": ", ".join(f"{spelled(name)} {share:.0%}" for name, share in _tried(result, day)),
        "sides": [
            (contest.days[day], contest.recall(day, day + 1), contest.value_detected(day, day + 1))
            for contest in (result.service, result.never)
        ],
    }


def _tried(result: DemoResult, day: int) -> list[tuple[str, float]]:
    contest = result.service
    return mix(type(contest)(contest.defender, contest.seed, contest.days[: day + 1]))[:2]
