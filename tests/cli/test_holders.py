"""`fraud up` ends at once where it could never run: the data folder or a port is somebody's."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraud.cli.holders import check_free, holders_of_port
from fraud.cli.main import run
from fraud.cli.supervised import SUPERVISOR, is_left_behind
from fraud.cli.supervisor import Supervisor
from fraud.errors import DataFolderLocked, NotAllowedNow
from fraud.eventlog import lock_data_folder
from fraud.settings import Settings, load_settings
from tests.cli.made import made_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return made_config(tmp_path, monitored=True)


@pytest.fixture
def settings(config: Path) -> Settings:
    return load_settings(config, {})


@pytest.fixture(autouse=True)
def _no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(_: Supervisor) -> None:
        raise AssertionError("it supervises")

    monkeypatch.setattr(Supervisor, "run", started)


@contextmanager
def holding(data_dir: Path, supervisor: str = "") -> Iterator[int]:
    """Hold a data folder in another process."""
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.eventlog.holder", str(data_dir)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != SUPERVISOR}
        | ({SUPERVISOR: supervisor} if supervisor else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid


def test_nothing_is_made_where_nothing_is_held(settings: Settings) -> None:
    check_free(settings)
    assert not settings.data_dir.exists()


@pytest.mark.process
def test_up_beside_a_scorer_of_the_folder_names_it_and_ends_with_status_1(
    config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with holding(settings.data_dir) as pid:
        assert run(["up", "--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert f"{settings.data_dir}: process {pid} is the scorer of this folder already; stop it first" in told


def test_up_beside_a_retrainer_of_the_folder_is_refused(settings: Settings) -> None:
    with (
        lock_data_folder(settings.data_dir, "retrainer"),
        pytest.raises(DataFolderLocked, match=f"process {os.getpid()} is the retrainer of this folder"),
    ):
        check_free(settings)


@pytest.mark.process
def test_a_scorer_that_its_supervisor_left_behind_drains_and_keeps_nobody_out(settings: Settings) -> None:
    with holding(settings.data_dir, supervisor="1") as pid:
        assert is_left_behind(str(pid))
        check_free(settings)
    with holding(settings.data_dir, supervisor=str(os.getpid())) as pid:
        assert not is_left_behind(str(pid))
        with pytest.raises(DataFolderLocked):
            check_free(settings)


@pytest.mark.parametrize("key", ["server.port", "monitoring.scorer_port", "monitoring.retrainer_port"])
def test_up_on_a_port_in_use_names_its_holder_and_the_setting(key: str, settings: Settings) -> None:
    section, _, name = key.partition(".")
    port = getattr(getattr(settings, section), name)
    with socket.create_server(("127.0.0.1", port)):
        assert str(os.getpid()) in holders_of_port(port)
        with pytest.raises(
            NotAllowedNow, match=rf"{key}: 127.0.0.1:{port} is held by process {os.getpid()} \("
        ):
            check_free(settings)
    assert holders_of_port(port) == {}
    check_free(settings)
