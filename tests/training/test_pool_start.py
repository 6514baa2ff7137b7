"""A local Ray that does not start in time: tried again, then named."""

from ipaddress import ip_address

import psutil
import pytest
import ray

from fraud.errors import Unavailable
from fraud.stopping import Stopped, Stopping
from fraud.training.pool import STARTS, TrainingPool
from tests.training import worker_calls
from tests.training.made import made_settings


class Late:
    """Stands for Ray on a machine under load: so many starts fail, as Ray tells it, before one does not."""

    def __init__(self, failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures, self.told = failures, list[str]()
        monkeypatch.setattr(ray, "init", self.init)
        monkeypatch.setattr(ray, "shutdown", lambda: self.told.append("shutdown"))

    def init(self, **given: object) -> None:
        assert given["address"] == "local"
        self.told.append("init")
        if self.told.count("init") <= self.failures:
            raise Exception("The current node timed out during startup.")


def test_a_start_that_comes_late_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(STARTS - 1, monkeypatch)
    with TrainingPool(made_settings().training):
        assert late.told == ["init", "shutdown"] * (STARTS - 1) + ["init"]


def test_one_that_never_comes_is_named_with_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(STARTS, monkeypatch)
    with (
        pytest.raises(Unavailable, match=r"Ray did not start, 3 times in a row .*look at the load"),
        TrainingPool(made_settings().training),
    ):
        raise AssertionError("no cycle without Ray")
    assert late.told == ["init", "shutdown"] * STARTS


def test_a_signal_that_ray_takes_while_it_starts_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(ray, "init", init)
    stopping = Stopping()
    with pytest.raises(Stopped), TrainingPool(made_settings().training, stopping):
        raise AssertionError("no cycle without Ray")
    assert stopping.is_set()


@pytest.mark.process
def test_ray_listens_on_loopback_and_asks_for_its_token_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with TrainingPool(made_settings().training) as pool:
        pool.run(worker_calls.niceness)
        me = psutil.Process()
        heard = {
            ip_address(each.laddr.ip.removeprefix("::ffff:"))
            for process in (me, *me.children(recursive=True))
            for each in process.net_connections()
            if each.status == psutil.CONN_LISTEN
        }
        modes = {child.name(): child.environ().get("RAY_AUTH_MODE") for child in me.children()}
    assert heard
    assert all(each.is_loopback for each in heard), heard
    assert {"gcs_server", "raylet"} <= modes.keys()
    assert set(modes.values()) == {"token"}
