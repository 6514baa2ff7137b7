"""Real cycles where promotion takes a person: nothing serves before somebody has said so."""

from pathlib import Path

import pytest

from fraud.client import Client
from tests.process.test_loop import FINISHED, fill, probing, retraining, wait_for
from tests.serving.worlds import Stream, serving, settings_in, train_at_once

pytestmark = pytest.mark.process


def waiting(client: Client) -> list[str]:
    return [it.version for it in client.list_versions("card").versions if it.awaiting_approval]


def test_a_version_waits_through_retrains_and_serves_when_a_person_promotes_it(tmp_path: Path) -> None:
    settings_in(tmp_path)
    train_at_once(tmp_path)
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text().replace("[gate]\n", '[gate]\nmode = "approval"\n'))
    stream = Stream(seed=12)
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path):
        fill(client, stream, days=10)
        first = wait_for(client, client.trigger_retrain("card", "first", "test"))
        assert (first.state, [it.verdict for it in first.verdicts]) == (FINISHED, ["PROMOTE"]), first.text
        assert waiting(client) == ["card-1"]
        assert client.get_champion("card").version == ""
        assert "NO_CHAMPION" in client.score(stream.next()).limits

        again = wait_for(client, client.trigger_retrain("card", "again", "test"))
        told = {it.version: it for it in again.verdicts}
        assert told["card-1"].reason.startswith("awaits approval: ")
        assert client.get_champion("card").version == ""
        newest = waiting(client)[0]

        with probing(process) as probe:
            done = client.promote(newest, actor="ann", reason="agreed")
        assert probe.failures == []
        assert (done.applied, done.overridden, waiting(client)) == (True, "", [])
        assert client.score(stream.next()).version == newest
        assert process.stop() == 0
