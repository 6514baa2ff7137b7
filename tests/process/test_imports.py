"""What a process of the service loads: nothing that it has no use for."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def loaded(*modules: str) -> set[str]:
    """Import modules in a process of its own; return the names of all that it has loaded then."""
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_xgboost_comes_in_without_scikit_learn_and_a_scorer_without_statistics() -> None:
    scorer = loaded("fraud.serving.server")
    assert "xgboost" in scorer
    assert not {"sklearn", "scipy.stats"} & scorer


def test_a_retrainer_and_its_workers_come_without_scikit_learn() -> None:
    both = loaded("fraud.retrainer.daemon", "fraud.training.fit")
    assert {"xgboost", "scipy.stats"} <= both
    assert "sklearn" not in both


def test_what_was_kept_out_may_come_in_afterwards() -> None:
    assert "sklearn.metrics" in loaded("fraud.training.fit", "sklearn.metrics")
