"""One target under atheris, in this process: `python -m tests.fuzz.guided TARGET SECONDS SEED PREFIX`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

INSTRUMENTED = (
    *("fraud.adversary.strategy", "fraud.archive.marking", "fraud.archive.mending", "fraud.arrays"),
    *("fraud.bundle", "fraud.cli", "fraud.documents"),
    *("fraud.eventlog", "fraud.features", "fraud.labels", "fraud.policy", "fraud.registry", "fraud.records"),
    *("fraud.serving.convert", "fraud.serving.credentials", "fraud.serving.history_cells"),
    "fraud.serving.history_table",
    *(
        "fraud.serving.intake",
        "fraud.serving.recovery",
        "fraud.settings",
        "fraud.upkeep",
        "json",
        "tomllib",
        "csv",
        "zipfile",
        "tarfile",
    ),
)
"""Modules whose branches guide the mutations: our readers, and those of Python that they use."""
COMPILED = ("fraud.features.calendar", "fraud.features.cells", "fraud.features.hops")
"""Left as they are: numba compiles their bytecode and knows no instrumentation."""


def main(name: str, seconds: str, seed: str, prefix: str) -> None:
    """Fuzz until the time is over or something fails; libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with atheris.instrument_imports(include=list(INSTRUMENTED), exclude=list(COMPILED)):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def once(data: bytes) -> Any:
        target.try_(data)

    with tempfile.TemporaryDirectory(prefix="fraud-corpus-") as corpus:
        for number, given in enumerate(target.seeds()):
            (Path(corpus) / str(number)).write_bytes(given)
        length = 4 * max(map(len, target.seeds())) + 1_000
        limits = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={length}", "-rss_limit_mb=2048"]
        atheris.Setup([name, *limits, f"-artifact_prefix={prefix}", corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:5])
