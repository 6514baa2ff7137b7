"""Giving way without the right to take a priority back, as every user but root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

GIVES_WAY = """
import os
from fraud.training.priority import give_way

os.setpriority(os.PRIO_PROCESS, 0, {own})
give_way({asked})
print(os.getpriority(os.PRIO_PROCESS, 0))
"""

WORKS = """
import os
from fraud.settings.learning import Training
from fraud.training.pool import TrainingPool

with TrainingPool(Training(cpus=1, cpus_per_task=1, niceness=10)) as pool:
    print(pool.run(os.getpriority, os.PRIO_PROCESS, 0))
"""


def _without_rights(script: str) -> str:
    """What a script prints that is run by somebody who may not raise priorities."""
    if not os.geteuid() and shutil.which(WITHOUT_RIGHTS[0]) is None:
        pytest.skip("setpriv is not installed, and root may do what others may not")
    command = [*([] if os.geteuid() else WITHOUT_RIGHTS), sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("own", "asked", "then"), [(15, 10, 15), (10, 10, 10), (0, 10, 10)])
def test_a_priority_that_is_lower_already_stays(own: int, asked: int, then: int) -> None:
    assert _without_rights(GIVES_WAY.format(own=own, asked=asked)) == str(then)


@pytest.mark.process
def test_workers_start_at_the_niceness_that_is_set_whoever_runs_them() -> None:
    assert _without_rights(WORKS) == "10"
