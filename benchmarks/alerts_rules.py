"""Which alerts fire when: daily series through the deployed rules, evaluated by promtool.

    series by day ─▶ a test file with the rules of deploy/, a value every six hours
                  ─▶ `promtool test rules`, which expects nothing and says what it got
                  ─▶ the days on which each alert fired

So recording rules, joins, thresholds and hold-downs are Prometheus' own.
"""

import math
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml

from benchmarks.alerts_series import Daily
from benchmarks.prometheus import RULES
from deploy.prometheus.cases import group_order

A_DAY = 4
"""Evaluations a day: a figure holds until the next day's, so hold-downs of hours pass within a day."""
_STEP = "6h"
_GOT = re.compile(r"time: (\S+?),\s*\n?\s*exp:.*?got:\s*(.*?)(?=expr:|\Z)", re.DOTALL)
_NAME = re.compile(r'alertname=\\*"(\w+)\\*"')
_PART = re.compile(r"(\d+)([wdhms])")
_HOURS = {"w": 168.0, "d": 24.0, "h": 1.0, "m": 1 / 60, "s": 1 / 3600}


def firing(shown: Daily, folder: Path) -> dict[str, list[int]]:
    """Return by alert the days on which it fired, rising; `folder` keeps the test file.

    Raises:
        RuntimeError: promtool could not evaluate the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "alerts.yml"
    path.write_text(yaml.safe_dump(_test_file(shown)), encoding="utf-8")
    command = ["promtool", "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode and "got:" not in said:
        raise RuntimeError(f"promtool: {said[:2_000]}")
    return _days_of(said, shown.days.start)


def _days_of(said: str, first: int) -> dict[str, list[int]]:
    """Read what promtool got where nothing was expected."""
    found: dict[str, set[int]] = defaultdict(set)
    for moment, got in _GOT.findall(said):
        hours = sum(float(count) * _HOURS[unit] for count, unit in _PART.findall(moment))
        for name in _NAME.findall(got):
            found[name].add(first + int(hours // 24))
    return {name: sorted(days) for name, days in found.items()}


def _test_file(shown: Daily) -> dict[str, object]:
    given = [
        {"series": _spelt(name, dict(labels)), "values": _values(values)}
        for (name, labels), values in shown.values.items()
    ]
    given += [{"series": f'up{{job="fraud-{job}"}}', "values": "1+0x9999"} for job in ("scorer", "retrainer")]
    asked = "count by (alertname) (ALERTS{alertstate='firing'})"
    moments = [f"{6 * step}h" for step in range(len(shown.days) * A_DAY)]
    return {
        "rule_files": [str(path) for path in sorted(RULES.glob("*.yml"))],
        "evaluation_interval": _STEP,
        "group_eval_order": group_order(),
        "tests": [
            {
                "interval": _STEP,
                "input_series": given,
                "promql_expr_test": [
                    {"expr": asked, "eval_time": moment, "exp_samples": []} for moment in moments
                ],
            }
        ],
    }


def _spelt(name: str, labels: dict[str, str]) -> str:
    both = {**labels, "instance": "handbook", "job": "fraud-retrainer"}
    spelt = ", ".join(f'{label}="{value}"' for label, value in both.items())
    return f"{name}{{{spelt}}}"


def _values(values: np.ndarray) -> str:
    """Spell a value a day as promtool reads it; "_" where there is none."""
    spelt = ["_" if math.isnan(value) else f"{value:.9g}" for value in values.tolist()]
    return " ".join(one for each in spelt for one in [each] * A_DAY)
