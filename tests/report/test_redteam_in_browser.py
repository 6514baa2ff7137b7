"""The red team's page in a real browser, where there is one."""

from pathlib import Path

import pytest

from fraud.report.folder import Folder
from fraud.report.redteam_page import read_redteam, render_redteam
from tests.attacks.worlds import made
from tests.report.test_in_browser import CHROMIUM, look_at

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; 'apt-get install chromium' brings it"),
]


def test_every_plot_is_drawn_and_nothing_is_asked_for(tmp_path: Path) -> None:
    world = made(tmp_path)
    folder = Folder.open(world.settings)
    seen = look_at(render_redteam(read_redteam(folder, "card", "card-1", world.settings)), tmp_path)
    assert seen["requests"] == []
    assert set(seen["plots"]) == {"evasion", "recoverable", "tries", "profit"}
    for plot in seen["plots"].values():
        assert plot["drawn"] > 3
        assert min(plot["width"], plot["height"]) > 100
        assert plot["texts"]
