"""`[rules]`: bounds on both sides."""

from pathlib import Path

import pytest

from fraud.errors import ConfigError
from fraud.settings import settings_from
from fraud.settings.rules import LETTERS_BOUND, RULES_BOUND, Rules

PLAIN = {"schema": {"entities": {"card": {}}}, "models": {"card": {}}}


def rules(**given: int) -> Rules:
    return settings_from({**PLAIN, "rules": given}, {}, Path("fraud.toml")).rules


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("rules_max", 1, RULES_BOUND),
        ("expression_length_max", 10, LETTERS_BOUND),
        ("listings_max", 1, 10_000_000),
    ],
)
def test_a_limit_is_bounded_on_both_sides(name: str, least: int, most: int) -> None:
    assert [getattr(rules(**{name: value}), name) for value in (least, most)] == [least, most]
    for value in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=rf"rules\.{name}"):
            rules(**{name: value})
