"""`fraud demo`: the whole loop on a simulated stream, through the real server and real Ray.

folder and configuration → scorer and retrainer started → the stream, day by day
→ figures.json · report.html · what people read on the way
"""

import json
from pathlib import Path

from rich.console import Console

from fraud.adversary.episode import Episode, Plan
from fraud.adversary.figures import DemoResult
from fraud.adversary.narrator import Narrator
from fraud.adversary.report import write_report
from fraud.adversary.stage import Stage
from fraud.adversary.world import WorldSettings
from fraud.adversary.yardstick import Yardstick
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.eventlog import SqliteEventLog
from fraud.features.spec import FeatureSpec
from fraud.report.page import require_report_extra

_START_SECONDS = 120.0
_DEADLINE_SECONDS = 30.0


def run(
    out: Path, *, output_json: bool, seed: int, console: Console | None, plan: Plan | None = None
) -> DemoResult:
    """Play the demo in folder `out` and return its figures; they also stand in `figures.json`.

    With `output_json` nothing is told on the way. `problems` of the result is
    not empty when the loop did not do what it should.

    Raises:
        NotAllowedNow: `out` holds other files, or the extra `report` is missing.
        Unavailable: a process did not start, ended, or did not finish a retrain.
    """
    require_report_extra()
    quiet = output_json or console is None
    narrator = Narrator(Console(quiet=True) if quiet or console is None else console)
    with Stage(out) as stage:
        narrator.note(
            f"starting the scorer at {stage.target} and the retrainer; all they write is in {stage.out}"
        )
        result = _play(stage, plan or Plan(WorldSettings(seed=seed)), narrator)
    (stage.out / "figures.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
    report = stage.out / "report.html"
    write_report(result, report)
    narrator.summary(result, report)
    return result


def _play(stage: Stage, plan: Plan, narrator: Narrator) -> DemoResult:
    settings = stage.settings
    stage.start("serve", "serve")
    with Client(stage.target, deadline_s=_DEADLINE_SECONDS, retries=0) as client:
        stage.wait_ready(client, _START_SECONDS)
        stage.start("retrain", "retrain", "--watch")
        places = settings.places
        names = settings.schema_.entity_names
        log = SqliteEventLog.open(places.log, writable=False, entity_names=names)
        try:
            yardstick = Yardstick(log, FeatureSpec.of(settings))
            bundles = BundleStore(places.bundles)
            return Episode(plan, stage, client, yardstick, bundles, narrator).play()
        finally:
            log.close()
