"""Simulates the service with drawn seeds, or one again: `python -m tests.simulation --seed 7`.

`--plant` puts a bug in on purpose, which has to be found.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import SystemRandom

import structlog

from tests.simulation.planted import PLANTED
from tests.simulation.promises import BrokenPromise
from tests.simulation.world import AUDIT_EVERY, simulate


def main() -> int:
    """Run until the time is over or a promise is broken; return the exit status."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    end = time.monotonic() + 60 * options.minutes
    counts: Counter[str] = Counter()
    while True:
        seed = options.seed if options.seed is not None else SystemRandom().randrange(2**31)
        print(f"seed {seed}, {options.steps} steps", end=" ", flush=True)  # noqa: T201 — its output
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
            try:
                ran = simulate(Path(folder), seed, options.steps, options.plant, options.audit_every)
            except BrokenPromise as error:
                print(f"\n{error}")  # noqa: T201
                return 1
        counts.update(ran.counts)
        print(f"held, {time.monotonic() - started:.1f} s, {ran.digest}", flush=True)  # noqa: T201
        if options.trace:
            print("\n".join(ran.trace))  # noqa: T201
        if options.seed is not None or time.monotonic() >= end:
            break
    for what, count in sorted(counts.items()):
        print(f"{count:7} {what}")  # noqa: T201
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one run, with this seed; default: new ones are drawn")
    parser.add_argument("--steps", type=int, default=300, help="steps of a run (300)")
    parser.add_argument(
        "--audit-every",
        type=int,
        default=AUDIT_EVERY,
        metavar="STEPS",
        help=f"look at everything after so many steps ({AUDIT_EVERY}), and after each crash",
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="draw seeds for so long (1)")
    parser.add_argument(
        "--plant",
        choices=list(PLANTED),
        default="",
        metavar="NAME",
        help=f"a bug to put in: {', '.join(map(repr, PLANTED))}",
    )
    parser.add_argument("--trace", action="store_true", help="print what was done, step by step")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
