"""In which order two workers take the files of tests: the longest first, heavy ones beside others.

    heavy  ████████ test_kill_repairs ████ test_soak ███ …      one worker, then the other
    light  ███████ test_tidy ██ test_simulations ████ …         whoever is free beside it

A heavy file starts processes; two that each run a scorer, a retrainer and its workers would
fight for the cores.
"""

from collections.abc import Iterable, Mapping

SECONDS = {
    "tests/adversary/test_demo.py": 56,
    "tests/adversary/test_serviced.py": 30,
    "tests/cli/test_polluted.py": 12,
    "tests/deploy/test_rules.py": 20,
    "tests/gate/test_simulations.py": 15,
    "tests/gate/test_untold.py": 15,
    "tests/process/test_approval.py": 13,
    "tests/process/test_disk.py": 11,
    "tests/process/test_erase.py": 78,
    "tests/process/test_graceful.py": 16,
    "tests/process/test_guard.py": 14,
    "tests/process/test_kill_repairs.py": 70,
    "tests/process/test_kill_retrainer.py": 72,
    "tests/process/test_kill_scorer.py": 16,
    "tests/process/test_loop.py": 70,
    "tests/process/test_pollution.py": 108,
    "tests/process/test_privacy.py": 17,
    "tests/process/test_prometheus.py": 60,
    "tests/process/test_rebuild.py": 17,
    "tests/process/test_slow_clients.py": 14,
    "tests/process/test_soak.py": 58,
    "tests/process/test_stop_retrainer.py": 50,
    "tests/retrainer/test_reacting.py": 68,
    "tests/retrainer/test_watching.py": 25,
    "tests/serving/test_promotion.py": 23,
    "tests/serving/test_repairs.py": 19,
    "tests/test_tidy.py": 100,
}
"""What the longest files take, about: each alone, on two cores that had other work."""
HEAVY_S, LIGHT_S = 2.0, 0.05
"""What a test of any other file takes, about: one of a file that starts processes, and one of another."""


def seconds_of(name: str, tests: int, *, heavy: bool) -> float:
    """Return what a file takes."""
    return SECONDS.get(name, tests * (HEAVY_S if heavy else LIGHT_S))


def spread(seconds: Mapping[str, float], heavy: Iterable[str]) -> list[str]:
    """Return the files in the order in which two workers should take them.

    At most one heavy file runs at a time while there are others for the second worker.
    """
    longest = sorted(seconds, key=lambda name: (-seconds[name], name))
    chosen = set(heavy)
    waiting = {kind: [name for name in longest if (name in chosen) == kind] for kind in (True, False)}
    free_s, runs_heavy = [0.0, 0.0], [False, False]
    order: list[str] = []
    while waiting[True] or waiting[False]:
        worker = free_s.index(min(free_s))
        kind = bool(waiting[True]) and not (runs_heavy[1 - worker] and waiting[False])
        order.append(waiting[kind].pop(0))
        free_s[worker] += seconds[order[-1]]
        runs_heavy[worker] = kind
    return order
