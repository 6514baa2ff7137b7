import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import fraud
from fraud.attacks.curve import Point
from fraud.report.page import figure, share, svg
from fraud.report.plots import reasons_plot
from fraud.report.redteam_page import evasion_plot
from tests.report.pages import Page


def test_a_plot_is_one_element_that_says_its_name_and_nothing_of_the_world() -> None:
    text = reasons_plot(["amount", "card_count_1h"], [0.4, 0.1])
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib["data-plot"]) == ("svg", "reasons")
    assert "http" not in text
    assert "metadata" not in text
    assert {"amount", "card_count_1h"} <= {element.text for element in root.iter()}


def test_a_curve_of_evasion_begins_where_its_points_do() -> None:
    points = tuple(Point(cost, 0.4, 0.2, 0.6) for cost in (0.0, 0.1, 1.0))
    plot = Page(evasion_plot({"side": points})).plots["evasion"]
    heights = [vertex.split()[1] for vertex in re.split("[ML]", plot.curves["evasion-side"])[1:]]
    assert len(heights) == 3
    assert len(set(heights)) == 1


def test_a_name_in_a_plot_is_text_whatever_it_says() -> None:
    hostile = '</text><script>alert("1")</script>'
    root = ElementTree.fromstring(reasons_plot([hostile], [0.4]))
    assert hostile in {element.text for element in root.iter()}
    assert not [element for element in root.iter() if element.tag.endswith("script")]


def test_templates_take_nothing_for_markup_but_plots() -> None:
    """Everything else is escaped: names, reasons and comments come from anywhere."""
    templates = sorted(Path(fraud.__file__).parent.rglob("*.html"))
    assert len(templates) > 3
    found = {
        line.strip()
        for path in templates
        for line in path.read_text(encoding="utf-8").splitlines()
        if "safe" in line or "autoescape" in line
    }
    plot = re.compile(r'<div( class="scroll")?>\{\{ (\w+)\|safe \}\}</div>')
    plots = {
        "curve",
        "apart",
        "profits",
        "tries",
        "curves",
        "calibration",
        "money",
        "quality",
        "timeline",
        "mix",
    }
    names = {match[2] for line in found if (match := plot.fullmatch(line))}
    assert [line for line in found if not plot.fullmatch(line)] == []
    assert names <= plots | {name for name in names if name.endswith("_plot")}


def test_the_same_figures_give_the_same_bytes() -> None:
    assert reasons_plot(["amount"], [0.4]) == reasons_plot(["amount"], [0.4])


def test_nothing_to_plot_is_an_empty_plot() -> None:
    assert ElementTree.fromstring(reasons_plot([], [])).tag == "svg"
    assert ElementTree.fromstring(svg("empty", 2, 2, lambda _: None)).attrib["data-plot"] == "empty"


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (None, ""), (float("nan"), "–"), (1e6, "1e+06")])
def test_figures_are_spelled_shortly(value: float | None, text: str) -> None:
    assert figure(value) == text
    assert share(0.126) == "13%"
