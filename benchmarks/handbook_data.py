"""The Handbook's transactions: where they lie, and what to do where there are none."""

import argparse
import sys
from pathlib import Path

from benchmarks.report import REPOSITORY, command

CONFIG = REPOSITORY / "fraud" / "settings" / "handbook.toml"
DATA = Path("../shared/data/handbook/transactions.parquet")
_OBTAIN = """\
{path}: no such file. It holds the simulated transactions of the Fraud Detection Handbook as one table.
To make it: git clone https://github.com/Fraud-Detection-Handbook/simulated-data-raw, read the daily files
under data/ with pandas.read_pickle, join them sorted by TX_DATETIME and TRANSACTION_ID, and write them with
to_parquet; then: {command} --data transactions.parquet"""


def take_data(arguments: argparse.ArgumentParser) -> None:
    """Add `--data` to what a benchmark is asked with."""
    arguments.add_argument("--data", type=Path, default=DATA, help=f"Parquet of the transactions; {DATA}")


def is_there(data: Path) -> bool:
    """Tell whether the transactions are there; where they are not, say how to get them."""
    if data.is_file():
        return True
    again = command().partition(" --data ")[0]
    print(_OBTAIN.format(path=data, command=again), file=sys.stderr)
    return False
