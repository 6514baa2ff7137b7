"""`fraud demo`: adaptive attackers against the running service, and against its first champion.

folder and configuration → scorer and retrainer started → the gang and the service, day by day
→ figures.json · report.html · what people read on the way
"""

import json
import time
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from fraud.adversary.duel import Duel
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.figures import DemoResult, Plan
from fraud.adversary.live import LiveView
from fraud.adversary.narrator import Narrator
from fraud.adversary.report import write_report
from fraud.adversary.serviced import ServiceDefender
from fraud.adversary.telling import Teller
from fraud.report.page import require_report_extra


def run(out: Path, *, output_json: bool, console: Console | None, plan: Plan | None = None) -> DemoResult:
    """Play the demo in folder `out` and return its figures; they also stand in `figures.json`.

    With `output_json` nothing is told on the way; on a terminal it is told on one screen, else in
    lines. `problems` of the result is not empty when something broke, whatever the gang earned.

    Raises:
        NotAllowedNow: `out` holds other files, or the extra `report` is missing.
        Unavailable: a process did not start, ended, or did not finish a retrain.
    """
    require_report_extra()
    shown = Console(quiet=True) if output_json or console is None else console
    lively = shown.is_terminal and not shown.quiet
    with LiveView(shown) if lively else nullcontext(Narrator(shown)) as teller:
        result = _play(out, plan or Plan(), teller)
    report = out.resolve() / "report.html"
    report.with_name("figures.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
    write_report(result, report)
    teller.end(result, report)
    return result


def _play(out: Path, plan: Plan, teller: Teller) -> DemoResult:
    started = time.monotonic()
    teller.note(f"starting the scorer; all it and the retrainer write is in {out}")
    economy = Economy(
        EconomySettings(
            seed=plan.seed,
            days=plan.days,
            cards=plan.cards,
            merchants=plan.merchants,
            transactions_per_day=plan.transactions,
        )
    )
    config = files("fraud.adversary").joinpath("demo.toml").read_text(encoding="utf-8")
    with (
        ServiceDefender(economy, out, config, first_day=plan.first_day) as service,
        Duel(plan, economy, service, teller) as duel,
    ):
        return duel.play(time.monotonic() - started)
