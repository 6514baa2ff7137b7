import tomllib
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.settings import Settings, settings_from
from tests.serving.persons import BACKUP, PERSONAL


def loaded(text: str) -> Settings:
    return settings_from(tomllib.loads(text), {}, Path("fraud.toml"))


def test_defaults_keep_what_a_rollback_of_half_a_year_needs() -> None:
    retention = loaded(PERSONAL.split("[retention]")[0]).retention
    assert (retention.rollback_within, retention.bundles, retention.files) == (
        180 * DAY_US,
        90 * DAY_US,
        7 * DAY_US,
    )
    assert retention.backups == ()
    assert loaded(PERSONAL).retention.backups == (BACKUP,)


def test_personal_fields_are_named_in_order() -> None:
    assert loaded(PERSONAL).schema_.personal_names == ("email",)


@pytest.mark.parametrize("pattern", ["*", "email", "e*"])
def test_no_model_may_use_a_personal_field(pattern: str) -> None:
    text = PERSONAL.replace(
        '[models.card]\ncategoricals = ["channel"]', f'[models.card]\ncategoricals = ["{pattern}"]'
    )
    with pytest.raises(ConfigError, match=r"takes in email, marked personal; .* name the other fields"):
        loaded(text)


def test_a_number_cannot_be_personal_and_the_error_says_why() -> None:
    text = PERSONAL.replace("[schema.numeric.distance]", "[schema.numeric.distance]\npersonal = true")
    with pytest.raises(ConfigError, match=r"a number is a feature of the service, .* categorical field"):
        loaded(text)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('files = "59m"', r"retention\.files"),
        ('rollback_within = "0s"', r"retention\.rollback_within"),
        ('rollback_within = "34d"', "shorter than log.idempotency_horizon"),
    ],
)
def test_what_would_delete_too_soon_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(f"{PERSONAL}{setting}\n")
