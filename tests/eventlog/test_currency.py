"""A log counts amounts in one base currency, whoever opens it."""

from pathlib import Path

import pytest

from fraud.cli.checkup import examine
from fraud.errors import ConfigError
from fraud.eventlog.log import NewToken
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.serving.stores import Stores
from tests.eventlog.events import scored
from tests.serving.worlds import settings_in


def opened(folder: Path, currency: str, *, writable: bool = True) -> SqliteEventLog:
    log = SqliteEventLog.open(folder / "log.db", writable=writable, entity_names=["card"])
    try:
        log.hold_to_currency(currency)
    except BaseException:
        log.close()
        raise
    return log


def test_a_log_with_payments_is_of_one_currency(tmp_path: Path) -> None:
    log = opened(tmp_path, "EUR")
    log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    log.close()
    for writable in (True, False):
        opened(tmp_path, "EUR", writable=writable).close()
        with pytest.raises(ConfigError, match=r"are in EUR, .* names USD \(service\.currency\).* put the"):
            opened(tmp_path, "USD", writable=writable)


def test_a_log_without_payments_takes_another_currency(tmp_path: Path) -> None:
    opened(tmp_path, "EUR").close()
    log = opened(tmp_path, "USD")
    log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    log.close()
    with pytest.raises(ConfigError, match="are in USD"):
        opened(tmp_path, "EUR")


def test_a_log_of_before_takes_the_currency_that_is_configured(tmp_path: Path) -> None:
    log = SqliteEventLog.open(tmp_path / "log.db", writable=True, entity_names=["card"])
    log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    log.close()
    opened(tmp_path, "USD", writable=False).close()
    opened(tmp_path, "EUR").close()
    with pytest.raises(ConfigError, match="are in EUR"):
        opened(tmp_path, "USD")


def test_a_service_does_not_start_on_amounts_of_another_currency_and_doctor_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    stores = Stores.open(settings)
    stores.log.append([scored("t1")], 1, [NewToken(0, 0, "tok")])
    stores.close()
    other = settings_in(tmp_path, FRAUD__SERVICE__CURRENCY="USD")
    with pytest.raises(ConfigError, match=r"service\.currency"):
        Stores.open(other)
    (found,) = [finding for finding in examine(other) if "service.currency" in finding.text]
    assert found.state == "fail"
