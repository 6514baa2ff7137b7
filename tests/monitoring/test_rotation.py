"""Files that do not fit at the start are looked at again, until they do or the time is up."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fraud.errors import ConfigError
from fraud.monitoring import endpoint
from fraud.monitoring.endpoint import Guard
from fraud.monitoring.rotation import settled, stamp_of
from tests.monitoring.test_endpoint import OTHERS, guarded, put
from tests.waiting import wait_until


class Clock:
    """Time that passes only while somebody waits."""

    now_s = 0.0

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def reader(clock: Clock, *, from_s: float) -> Callable[[], float]:
    """What can be read from a moment on."""

    def read() -> float:
        if clock.now_s < from_s:
            raise ConfigError(f"not at {clock.now_s}")
        return clock.now_s

    return read


def test_what_fits_in_time_is_taken_as_soon_as_it_does() -> None:
    clock = Clock()
    read = reader(clock, from_s=0.2)
    assert settled(read, 3.0, now_s=lambda: clock.now_s, wait=clock.wait) == pytest.approx(0.2, abs=0.06)


def test_what_never_fits_is_an_error_when_the_time_is_up_and_not_long_after() -> None:
    clock = Clock()
    with pytest.raises(ConfigError, match="not at"):
        settled(reader(clock, from_s=9.0), 3.0, now_s=lambda: clock.now_s, wait=clock.wait)
    assert 3.0 <= clock.now_s < 3.1


def test_without_patience_it_is_read_once() -> None:
    clock = Clock()
    with pytest.raises(ConfigError):
        settled(reader(clock, from_s=0.01), 0.0, now_s=lambda: clock.now_s, wait=clock.wait)
    assert clock.now_s == 0


def test_a_stamp_tells_other_content_rights_and_that_a_file_is_gone(tmp_path: Path) -> None:
    path, other = put(tmp_path, "token", b"first"), put(tmp_path, "other", b"other")
    seen = {stamp_of([path, other])}
    assert stamp_of([path, other]) in seen, "looking changes nothing"
    put(tmp_path, "token", b"other")
    assert stamp_of([path, other]) not in seen
    seen.add(stamp_of([path, other]))

    def told() -> bool:
        path.chmod(0o640)  # again until the clock of the file system, which is a coarse one, has gone on
        return stamp_of([path, other]) not in seen

    wait_until(told)
    seen.add(stamp_of([path, other]))
    path.unlink()
    assert stamp_of([path, other]) not in seen


def test_metrics_begin_though_their_certificate_is_just_being_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitoring = guarded(tmp_path)
    renewed = OTHERS.issue("metrics", alternative=["localhost"])
    put(tmp_path, "server.pem", renewed.certificate)

    def wait(_: float) -> None:
        put(tmp_path, "server.key", renewed.key)

    monkeypatch.setattr(endpoint, "settled", partial(settled, wait=wait))
    assert Guard(monitoring).context is not None
