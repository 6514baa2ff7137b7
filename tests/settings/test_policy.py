"""What a model's policy gives where targets are left out."""

from pathlib import Path
from typing import Any

import pytest

from fraud.settings import settings_from
from fraud.settings.model import Target


def policy(given: dict[str, Any]) -> dict[str, Target | None]:
    tables = {"schema": {"entities": {"card": {}}}, "models": {"card": {"policy": given}}}
    found = settings_from(tables, {}, Path("fraud.toml")).models["card"].policy
    return {name: getattr(found, name) for name in ("challenge", "review", "decline")}


def test_an_outcome_left_out_is_never_given() -> None:
    only = policy({"decline": {"score": 0.9}})
    assert only == {"challenge": None, "review": None, "decline": Target(score=0.9)}


@pytest.mark.parametrize("given", [{}, {"exploration": {"enabled": False}}])
def test_without_any_the_riskiest_hundredth_is_reviewed(given: dict[str, Any]) -> None:
    assert policy(given) == {"challenge": None, "review": Target(share=0.01), "decline": None}
