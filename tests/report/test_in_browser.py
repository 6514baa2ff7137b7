"""The page in a real browser, where there is one."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fraud.report.comparison_page import read_comparison, render_comparison
from fraud.report.folder import Folder
from fraud.report.version_page import read_version, render_version
from tests.report.made import judged

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; 'apt-get install chromium' brings it"),
]

LOOK = """<!doctype html><iframe id="page" src="%s" style="width: 1050px; height: 6000px"></iframe>
<pre id="seen"></pre>
<script>
document.getElementById("page").addEventListener("load", event => {
  const inside = event.target.contentWindow, page = inside.document;
  const plots = {};
  for (const svg of page.querySelectorAll("svg[data-plot]")) {
    const box = svg.getBoundingClientRect();
    const paths = [...svg.querySelectorAll("path")].filter(path => path.getTotalLength() > 0);
    const drawn = paths.filter(path => path.closest("defs") === null
      && (path.getBoundingClientRect().width > 0 || path.getBoundingClientRect().height > 0));
    plots[svg.dataset.plot] = {width: box.width, height: box.height, drawn: drawn.length,
      texts: [...svg.querySelectorAll("text")].map(text => text.textContent)};
  }
  document.getElementById("seen").textContent = JSON.stringify({
    requests: inside.performance.getEntriesByType("resource").map(entry => entry.name),
    plots: plots,
    shown: page.body.innerText.length,
    figures: [...page.querySelectorAll("[data-figure]")].map(row => [row.dataset.figure, row.dataset.value]),
  });
});
</script>"""


def look_at(text: str, folder: Path) -> dict[str, Any]:
    """Open a page in headless Chromium, and return what it asked for and what it drew."""
    page, frame = folder / "page.html", folder / "frame.html"
    page.write_text(text, encoding="utf-8")
    frame.write_text(LOOK % page.as_uri(), encoding="utf-8")
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--allow-file-access-from-files"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, frame.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    seen = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert seen is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(
        seen[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return found


def test_a_browser_asks_for_nothing_else_and_draws_every_plot(tmp_path: Path) -> None:
    world = judged(tmp_path)
    world.close()
    folder = Folder.open(world.settings)
    texts = {
        "one": render_version(folder, read_version(folder, "card-2")),
        "two": render_comparison(folder, read_comparison(folder, "card-2", "card-1")),
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        seen = look_at(text, tmp_path / name)
        assert seen["requests"] == [], "a request beside the page itself"
        assert seen["shown"] > 2_000
        assert len(seen["plots"]) == {"one": 6, "two": 5}[name]
        for plot, drawn in seen["plots"].items():
            assert drawn["width"] > 300, plot
            assert drawn["height"] > 100, plot
            assert drawn["drawn"] > 10, plot
            assert len(drawn["texts"]) > 5, plot
    checks = {
        row["name"]: row["value"] for row in folder.state.version("card-2").verdicts[-1].report["checks"]
    }
    figures = dict(look_at(texts["one"], tmp_path)["figures"])
    assert float(figures["average_precision_challenger"]) == checks["average_precision_challenger"]
