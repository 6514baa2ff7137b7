"""A retrain by the command line: a challenger that forgot a pattern is rejected, and the ledger says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.retrainer.sentinels import SentinelDesk
from tests.retrainer.patterns import DAYS, World, ids_of, with_champion

pytestmark = pytest.mark.process

# The guard would notice the pollution first; here the gate has to stand alone.
UNGUARDED = "".join(
    f'[guard.{check}]\naction = "off"\n'
    for check in ("contradictions", "implausible_batch", "near_certain", "source_share", "submitter_share")
)


def test_a_cycle_keeps_sentinels_aside_and_rejects_who_forgot_them(tmp_path: Path) -> None:
    with_champion(tmp_path)
    world = World(tmp_path)
    desk = SentinelDesk.open(world.settings)
    desk.add("card", "burst", ids_of("burst", range(30, 35)), actor="jane", reason="audit")
    desk.close()
    world.pass_days(DAYS)
    world.close()
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text() + UNGUARDED)
    command = [sys.executable, "-m", "fraud.cli", "--config", str(config), "--output", "json"]
    done = subprocess.run(
        [*command, "retrain", "--once", "--model", "card"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert (verdict["version"], verdict["verdict"]) == ("card-2", "REJECT"), done.stderr
    assert "forgot 'burst'" in verdict["reason"]
    again = World(tmp_path)
    state = again.ledger.state()
    again.close()
    assert (state.champion("card"), state.version("card-2").status) == ("card-1", "rejected")
    assert state.version("card-2").manifest["rows"]["kept_aside"] == 30
