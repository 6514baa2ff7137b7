"""The environment overrides any key of the file."""

import tomllib
from pathlib import Path

import pytest

from fraud.errors import ConfigError
from fraud.settings import Settings, settings_from

LEAST = "[schema.entities.card]\n[models.card]\n[server]\nport = 50051\n"
KEY = "FRAUD__MODELS__CARD__POLICY__EXPLORATION__KEY"


def read(environment: dict[str, str]) -> Settings:
    return settings_from(tomllib.loads(LEAST), environment, Path("fraud.toml"))


def test_a_variable_overrides_the_file() -> None:
    assert read({"FRAUD__SERVER__PORT": "50052"}).server.port == 50052


def test_a_variable_may_set_what_the_file_leaves_out() -> None:
    assert read({"FRAUD__LABELS__SOURCES": '["issuer"]'}).labels.sources == ("issuer",)
    assert read({"FRAUD__SERVICE__CURRENCY": "USD"}).service.currency == "USD"


def test_a_variable_may_set_a_list_or_a_table_of_texts() -> None:
    assert read({"FRAUD__MODELS__CARD__FEATURES": '["amount"]'}).models["card"].features == ("amount",)
    ignored = read({"FRAUD__MONITORING__DRIFT__IGNORE": '["amount", "hour"]'}).monitoring.drift.ignore
    assert ignored == ("amount", "hour")
    backups = read({"FRAUD__RETENTION__BACKUPS": '["/var/lib/fraud-backups"]'}).retention.backups
    assert [str(path) for path in backups] == ["/var/lib/fraud-backups"]


def test_other_variables_change_nothing() -> None:
    assert read({"FRAUD_SERVER_PORT": "1", "HOME": "/"}) == read({})


def test_a_secret_of_digits_stays_text() -> None:
    exploration = read({KEY: "0123456789_23456"}).models["card"].policy.exploration
    assert exploration.key.get_secret_value() == "0123456789_23456"
    exploration = read({KEY: "1234567890123456"}).models["card"].policy.exploration
    assert exploration.key.get_secret_value() == "1234567890123456"


def test_a_secret_stands_in_no_message_and_no_dump() -> None:
    secret = '["a-secret-of-16-chars"]'
    settings = read({KEY: secret})
    assert "a-secret" not in repr(settings)
    assert "a-secret" not in settings.model_dump_json(by_alias=True)
    with pytest.raises(ConfigError) as caught:
        read({KEY + "__DEEPER": "a-secret-of-16-chars"})
    assert "a-secret" not in str(caught.value)


def test_a_wrong_variable_is_named_in_the_message() -> None:
    with pytest.raises(ConfigError, match=r"server\.portt \(from FRAUD__SERVER__PORTT\): unknown key"):
        read({"FRAUD__SERVER__PORTT": "1"})
    with pytest.raises(ConfigError, match=r"server\.port \(from FRAUD__SERVER__PORT\)"):
        read({"FRAUD__SERVER__PORT": "many"})


def test_a_variable_may_not_step_into_a_value() -> None:
    with pytest.raises(ConfigError, match="FRAUD__SERVER__PORT__X: 'port' is a value, not a table"):
        read({"FRAUD__SERVER__PORT__X": "1"})


def test_a_variable_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="FRAUD__: names no key"):
        read({"FRAUD__": "1"})
