"""`[attacks]` names only what the schema has, within bounds; an age ends when an entity is no longer new."""

import tomllib
from pathlib import Path

import pytest

from fraud.errors import ConfigError
from fraud.settings import Settings, settings_from
from fraud.settings.attacks import GATE_FRAUDS_MIN

PLAIN = """
[schema.entities.card]
[schema.entities.merchant]
[schema.numeric.age]
[schema.categorical.channel]
[features.entities.card]
since = ["first"]
[models.card]
"""


def settings_of(text: str) -> Settings:
    return settings_from(tomllib.loads(PLAIN + text), {}, Path("fraud.toml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[attacks.entities.device]", "attacks.entities: unknown device; allowed: merchant"),
        ("[attacks.entities.card]", "unknown card; allowed: merchant"),
        ("[attacks.categorical.mcc]", "attacks.categorical: unknown mcc"),
        ("[attacks.numeric.weight]\nlow = 0\nhigh = 1", "attacks.numeric: unknown weight"),
        ("[attacks.numeric.age]\nlow = 2\nhigh = 1", "low: 2.0 is above high"),
        ("[attacks.entities.merchant]\nsets = { weight = 0.0 }", "attacks.merchant.sets: unknown weight"),
        (
            '[attacks.entities.merchant]\nbrings = ["weight"]',
            "attacks.entities.merchant.brings: unknown weight; allowed: channel, age",
        ),
        (
            '[attacks.entities.merchant]\nnew = true\nbrings = ["channel"]',
            "brings: nothing was ever seen with a new one; leave out channel, or say in sets what follows",
        ),
        (
            '[attacks.entities.merchant]\nbrings = ["channel"]\n[attacks.categorical.channel]',
            "channel belongs to that entity, and categorical.channel would change it by itself; leave it out",
        ),
        (
            '[attacks.entities.merchant]\nbrings = ["age"]\n[attacks.numeric.age]\nlow = 0\nhigh = 1',
            "entities.merchant.brings: age belongs to that entity, and numeric.age would change it",
        ),
        (
            '[attacks.entities.merchant]\nbrings = ["age"]\n[attacks.categorical.channel]\nsets = {age = 1}',
            "and categorical.channel.sets would change it by itself; leave it out of one of them",
        ),
        ("[attacks]\ncosts = [0.5, 0.25]", "must rise from one to the next"),
        ("[attacks]\ncosts = [0.0]", "must rise from one to the next, above 0"),
        ('[attacks.pace]\nwait_max = "1h"\nstep = "2h"', "goes 0 times into wait_max"),
        ("[attacks]\nqueries = 0", "attacks.queries"),
        ("[attacks]\ngate = true\ngate_frauds = 29", "gate_frauds: 29 show nothing"),
        ("[attacks]\nqueries = 10001", "attacks.queries"),
        ("[attacks]\ncombinations = 15", "attacks.combinations"),
        ('[features]\nage_max = "6d"', "features.age_max: is shorter than gate.slices.new_within"),
    ],
)
def test_what_cannot_be_is_named_with_what_is_allowed(text: str, says: str) -> None:
    given = (
        PLAIN + text
        if "[features]" not in text
        else PLAIN.replace("[features.entities", f"{text}\n[features.entities")
    )
    with pytest.raises(ConfigError) as caught:
        settings_from(tomllib.loads(given), {}, Path("fraud.toml"))
    assert says in str(caught.value)


def test_borders_are_taken() -> None:
    taken = settings_of("[attacks]\nqueries = 1\ncombinations = 16\ncosts = [0.01]").attacks
    assert (taken.queries, taken.combinations, taken.gate) == (1, 16, False)
    assert settings_of(f"[attacks]\ngate_frauds = {GATE_FRAUDS_MIN}").attacks.gate_frauds == GATE_FRAUDS_MIN
    taken = settings_of('[attacks.pace]\nwait_max = "96h"\nstep = "1h"').attacks
    assert taken.pace is not None
    age = PLAIN.replace("[features.entities", '[features]\nage_max = "7d"\n[features.entities', 1)
    assert settings_from(tomllib.loads(age), {}, Path("fraud.toml")).features.age_max
