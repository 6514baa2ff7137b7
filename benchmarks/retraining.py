"""A retrain beside the scorer: boosters fitted one after the other, at low priority, in a session of its own.

Started as `python -m benchmarks.retraining --niceness N`; prints `training` when the
first fit begins and goes on until it is ended. It uses every core, as the workers
of a retrain do.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.report import REPOSITORY
from fraud.training.priority import give_way, give_way_as_session

ROWS, COLUMNS, ROUNDS = 200_000, 48, 100


@contextmanager
def beside(niceness: int) -> Iterator[None]:
    """Keep a retrain running until the block ends."""
    command = [sys.executable, "-m", "benchmarks.retraining", "--niceness", str(niceness)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        if process.stdout is None or process.stdout.readline() != "training\n":
            raise RuntimeError(f"the retrain beside ended with status {process.wait()}")
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def train(niceness: int) -> None:
    """Fit boosters for ever."""
    import xgboost as xgb

    give_way(niceness)
    give_way_as_session(niceness)
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    is_fraud = rows[:, 0] + rows[:, 1] * rows[:, 2] > 3
    parameters = {"objective": "binary:logistic", "max_depth": 6, "max_bin": 1024, "base_score": 0.5}
    print("training", flush=True)
    while True:
        xgb.train(parameters, xgb.QuantileDMatrix(rows, label=is_fraud, max_bin=1024), ROUNDS)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Retrain load; started by benchmarks.retraining.beside.")
    arguments.add_argument("--niceness", type=int, required=True)
    train(arguments.parse_args().niceness)
