"""What is said of probing: every pattern has its words."""

import pytest

from fraud.monitoring.probing import PATTERNS, Probe
from fraud.retrainer.reacting import in_words


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_is_said_in_words(pattern: str) -> None:
    said = in_words([Probe(pattern, "card", 7, 0.2, 1e-6, alarming=True)])
    assert said.startswith("7 of kind card ")
    assert said.endswith("(0.2 expected)")
