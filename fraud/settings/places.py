"""Where the parts of a data folder are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Places:
    """Paths under one data folder."""

    log: Path
    ledger: Path
    archive: Path
    bundles: Path
    state: Path

    @classmethod
    def under(cls, data_dir: Path) -> Self:
        """Return the places under a data folder."""
        return cls(
            log=data_dir / "events.sqlite",
            ledger=data_dir / "registry.sqlite",
            archive=data_dir / "archive",
            bundles=data_dir / "bundles",
            state=data_dir / "state",
        )
