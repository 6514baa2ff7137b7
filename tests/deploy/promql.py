"""Reads as much of PromQL as it takes to say which series an expression asks for."""

import re
from dataclasses import dataclass

_WORDS = frozenset(
    {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}
)
_GROUPING = re.compile(r"\b(by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?")
_MATCHER = re.compile(r'([a-zA-Z_]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Selector:
    """A series name with its matchers: label, operator, value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expr: str) -> list[Selector]:
    """Return what an expression selects, in order.

    >>> [s.name for s in selectors('sum by (le) (rate(x_bucket{a="b"}[5m])) / on () y > 3')]
    ['x_bucket', 'y']
    """
    bare = _GROUPING.sub(" ", expr)
    bare = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", bare)
    found = []
    for name, braces, call in _SELECTOR.findall(_outside_quotes(bare)):
        if not call and name not in _WORDS and not re.fullmatch(r"\d.*|e\d+|inf|nan", name, re.IGNORECASE):
            found.append(Selector(name, tuple(_MATCHER.findall(_quoted_again(braces, bare)))))
    return found


def grouped(expr: str) -> set[str]:
    """Return every label named in by, on, ignoring, without and group_left."""
    return {name.strip() for _, names in _GROUPING.findall(expr) for name in names.split(",") if name.strip()}


def kept_by(expr: str) -> set[str] | None:
    """Return the labels of the outermost `by`, None when nothing is aggregated."""
    found = re.search(r"\bby\s*\(([^)]*)\)", expr)
    return {name.strip() for name in found[1].split(",")} - {"le"} if found else None


def _outside_quotes(text: str) -> str:
    """Quoted values outside braces (arguments of functions) are none of our business."""
    kept, at, deep = [], 0, 0
    for piece in _QUOTED.finditer(text):
        between = text[at : piece.start()]
        deep += between.count("{") - between.count("}")
        kept += [between, piece[0] if deep else " "]
        at = piece.end()
    return "".join([*kept, text[at:]])


def _quoted_again(braces: str, text: str) -> str:
    """Braces may hold a closing brace inside quotes, as a quantifier of an expression does."""
    return braces if braces.count('"') % 2 == 0 else text[text.index(braces) :].partition('"}')[0] + '"}'
