"""Reads a page as a browser would, without one: what it refers to, its plots, its rows of figures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

Attributes = dict[str, str]
VOID = {"meta", "br", "hr", "img", "input", "link"}


@dataclass
class Plot:
    """One SVG element: the drawn paths with something in them, by the id of their group."""

    paths: int = 0
    curves: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A parsed page; elements must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, Attributes]] = []
        self.plots: dict[str, Plot] = {}
        self.texts: list[str] = []
        self._open: list[tuple[str, Attributes]] = []
        self._plot: Plot | None = None
        self.feed(text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag == "svg":
            self._plot = self.plots[given["data-plot"]] = Plot()
        if tag == "path" and self._plot is not None and len(given.get("d", "")) > 1:
            self._plot.paths += 1
            for _, group in self._open:
                if "id" in group:
                    self._plot.curves.setdefault(group["id"], given["d"])
        if tag == "path" and self._plot is not None and "id" in given:
            self._plot.curves.setdefault(given["id"], given.get("d", ""))
        if tag not in VOID:
            self._open.append((tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        if tag == "svg":
            self._plot = None

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def rows(self, name: str) -> list[Attributes]:
        """The elements that carry an attribute, e.g. `data-figure`."""
        return [given for _, given in self.elements if name in given]

    def outside(self) -> Iterator[str]:
        """Whatever would make a browser ask for something else than the page."""
        loading = {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "image"}
        for tag, given in self.elements:
            if tag in loading:
                yield tag
            for name, value in given.items():
                if name.endswith(("href", "src", "srcset", "action")) and not value.startswith("#"):
                    yield f"{tag} {name}={value}"
                if "url(" in value and "url(#" not in value:
                    yield f"{tag} {name}={value}"


def check_self_contained(text: str, page: Page) -> None:
    """A page names no other place, not even in its style."""
    assert list(page.outside()) == []
    for word in ("http:", "https:", "@import", "url(/", "<script"):
        assert word not in text, word
