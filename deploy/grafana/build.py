"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana.build` (make dashboards)."""

import sys
from pathlib import Path
from typing import Final

from deploy.grafana.boards import Board
from deploy.grafana.labels_and_guard import LABELS_AND_GUARD
from deploy.grafana.loop_history import LOOP_HISTORY
from deploy.grafana.model_quality import MODEL_QUALITY
from deploy.grafana.operations import OPERATIONS

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final[dict[str, Board]] = {
    "operations.json": OPERATIONS,
    "model-quality.json": MODEL_QUALITY,
    "labels-and-guard.json": LABELS_AND_GUARD,
    "loop-history.json": LOOP_HISTORY,
}


def main() -> int:
    """Write every dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for name, board in BOARDS.items():
        (FOLDER / name).write_text(board.to_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
