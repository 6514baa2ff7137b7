import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fraud.adversary.demo import run
from fraud.adversary.episode import Plan
from fraud.adversary.world import WorldSettings

WORLD = WorldSettings(seed=11, days=8, change_day=6, transactions_per_day=3_000, cards=3_000)


@pytest.mark.process
def test_a_short_demo_starts_from_nothing_and_swaps_in_a_first_champion(tmp_path: Path) -> None:
    told = io.StringIO()
    plan = Plan(WORLD, retrain_first=6, retrain_every=3)
    result = run(tmp_path / "demo", output_json=False, seed=11, console=Console(file=told), plan=plan)

    assert result.failed == ()
    assert result.logged == result.transactions == sum(day.transactions for day in result.days)
    assert 0 < result.without_champion < result.transactions
    assert [cycle.promoted != "" for cycle in result.cycles] == [True]
    assert result.cycles[0].answered > 0
    assert {verdict.verdict.outcome for verdict in result.verdicts} == {"PROMOTE"}

    last = result.days[-1]
    assert last.versions == (result.cycles[0].promoted,)
    assert last.service == last.never_retrained
    assert last.service is not None
    assert result.scores_repeated > 0
    assert result.scores_differing == 0

    figures = json.loads((tmp_path / "demo" / "figures.json").read_text(encoding="utf-8"))
    assert figures["days"][-1]["service"]["recall"] == last.service.recall
    assert "<svg" in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert last.date in told.getvalue()
