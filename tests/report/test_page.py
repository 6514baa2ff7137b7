from xml.etree import ElementTree

import pytest

from fraud.report.page import figure, share, svg
from fraud.report.plots import reasons_plot


def test_a_plot_is_one_element_that_says_its_name_and_nothing_of_the_world() -> None:
    text = reasons_plot(["amount", "card_count_1h"], [0.4, 0.1])
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib["data-plot"]) == ("svg", "reasons")
    assert "http" not in text
    assert "metadata" not in text
    assert {"amount", "card_count_1h"} <= {element.text for element in root.iter()}


def test_the_same_figures_give_the_same_bytes() -> None:
    assert reasons_plot(["amount"], [0.4]) == reasons_plot(["amount"], [0.4])


def test_nothing_to_plot_is_an_empty_plot() -> None:
    assert ElementTree.fromstring(reasons_plot([], [])).tag == "svg"
    assert ElementTree.fromstring(svg("empty", 2, 2, lambda _: None)).attrib["data-plot"] == "empty"


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (None, ""), (float("nan"), "–"), (1e6, "1e+06")])
def test_figures_are_spelled_shortly(value: float | None, text: str) -> None:
    assert figure(value) == text
    assert share(0.126) == "13%"
