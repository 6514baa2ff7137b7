import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import psutil
import pytest

from fraud.adversary.stage import Stage
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow, Unavailable
from tests.serving.worlds import START_S


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work", encoding="utf-8")
    with pytest.raises(NotAllowedNow, match="no demo wrote"):
        Stage(tmp_path)
    assert precious.exists()


def test_a_second_demo_clears_what_the_first_wrote_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    Stage(out)
    (out / "data").mkdir()
    (out / "data" / "old").write_text("x", encoding="utf-8")
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    Stage(out)
    assert not (out / "data").exists()
    assert (out / "notes.txt").exists()


def test_the_demo_keeps_time_by_the_log_and_its_data_in_the_folder(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "demo")
    assert stage.settings.service.clock == "log"
    assert stage.settings.data_dir == stage.out / "data"


def test_another_configuration_and_overrides_of_its_keys_reach_the_folder(tmp_path: Path) -> None:
    text = files("fraud.adversary").joinpath("demo.toml").read_text(encoding="utf-8")
    other = text.replace('name = "demo"', 'name = "contest"')
    stage = Stage(tmp_path / "contest", other, {"FRAUD__LABELS__MATURITY": "3d"})
    assert stage.settings.service.name == "contest"
    assert stage.settings.labels.maturity == 3 * DAY_US
    assert stage.config.read_text(encoding="utf-8") == other


def test_a_process_that_ends_is_named_with_what_it_said(tmp_path: Path) -> None:
    with Stage(tmp_path / "demo") as stage:
        stage.start("serve", "no-such-command")
        stage.join("serve", START_S)
        with pytest.raises(Unavailable, match="'fraud serve' ended with status"):
            stage.check()


def test_who_waits_for_a_scorer_hears_that_it_ended_or_took_too_long(tmp_path: Path) -> None:
    with Stage(tmp_path / "demo") as stage, Client(stage.target) as client:
        with pytest.raises(Unavailable, match=r"is not serving after 0\.05 s; see .*serve\.log"):
            stage.wait_ready(client, 0.05)
        stage.start("serve", "no-such-command")
        with pytest.raises(Unavailable, match="'fraud serve' ended with status"):
            stage.wait_ready(client, START_S)


def test_a_demo_that_is_told_to_end_takes_its_processes_along(tmp_path: Path) -> None:
    script = (
        "import sys, signal; from pathlib import Path; from fraud.adversary.stage import Stage\n"
        "with Stage(Path(sys.argv[1])) as stage:\n"
        "    stage.start('serve', 'serve'); print(stage.pid_of('serve'), flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "demo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        scorer = psutil.Process(int(demo.stdout.readline()))
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(START_S) == 128 + signal.SIGTERM
    assert not scorer.is_running()
