"""Told to stop by a signal handler, which interrupts the thread that waits anywhere within its wait."""

import sys
import threading
from itertools import count
from types import FrameType
from typing import Any

import pytest

from fraud.stopping import Stopped, Stopping
from tests.waiting import wait_until

PATIENCE_S = 180.0


def interrupted_at(step: int, stopping: Stopping) -> bool:
    """Wait, and set it in the same thread before a step of Python's; False when there are fewer."""
    passed = count()

    def look(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode" and next(passed) == step:
            sys.settrace(None)
            stopping.set()
        return look

    sys.settrace(look)
    try:
        stopping.wait(0.001)
    finally:
        sys.settrace(None)
    return next(passed) > step


def test_a_handler_may_set_it_before_any_step_of_a_wait() -> None:
    at: list[int] = []

    def work() -> None:
        for step in count():
            stopping = Stopping()
            if not interrupted_at(step, stopping):
                break
            assert stopping.wait(PATIENCE_S)
            at.append(step)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), f"a handler hangs before step {len(at)}"
    assert len(at) > 10


def test_everybody_who_waits_is_told() -> None:
    stopping = Stopping()
    waiting = [threading.Thread(target=stopping.wait, args=(3_600.0,), daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()

    def inside() -> list[str]:
        frames = sys._current_frames()
        return [frames[it.ident].f_code.co_name for it in waiting if it.ident in frames]

    wait_until(lambda: inside() == ["wait"] * 3)
    stopping.set()
    for thread in waiting:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in waiting)


def test_until_it_is_set_everything_goes_on() -> None:
    stopping = Stopping()
    assert not stopping.wait(0.0)
    assert not stopping.is_set()
    stopping.check()
    stopping.set()
    stopping.set()
    assert stopping.is_set()
    with pytest.raises(Stopped, match="told to stop"):
        stopping.check()
