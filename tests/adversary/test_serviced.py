"""The running service plays a contest: every payment answered, every label taken, its own retrains serve."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import FOLDER
from fraud.adversary.choosers import EpsilonGreedy
from fraud.adversary.contest import Contest, ContestSettings
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Filing, Gang
from fraud.adversary.review import Reviewed
from fraud.adversary.serviced import MODEL, ServiceDefender, TrainedCycles, dated
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.adversary.verdicts import LabelRules
from fraud.clock import DAY_US
from fraud.errors import ConfigError, Unavailable
from fraud.eventlog.folder import open_log
from fraud.records import Label, LabelsSubmitted, LabelValue, Scored
from fraud.registry.chain import LedgerEntry
from fraud.registry.store import LedgerStore
from tests.serving.worlds import START_S

CONFIG = (FOLDER / "adaptation_own.toml").read_text(encoding="utf-8")
SETTINGS = EconomySettings(seed=3, days=9, cards=300, merchants=60, transactions_per_day=500)
FIRST_DAY, DAYS = 6, 9
SHORT = {
    "FRAUD__LABELS__MATURITY": "1d",
    "FRAUD__TRAINING__TRIGGERS__EVERY": "1d",
    "FRAUD__TRAINING__CALIBRATION": "1d",
    "FRAUD__TRAINING__EVIDENCE": "1d",
    "FRAUD__GATE__FLOOR_AVERAGE_PRECISION": "0",
    "FRAUD__GATE__FLOOR_RECALL": "0",
    "FRAUD__GATE__CALIBRATION_RATIO_MAX": "1e6",
}
RULES = LabelRules(0, DAY_US, 0.0, 1.0, DAY_US)


def _entry(seq: int, kind: str) -> LedgerEntry:
    return LedgerEntry(seq, 0, kind, "test", "", {}, "", "")


def test_the_last_labels_of_a_day_are_dated_its_end_and_no_others() -> None:
    filings = [
        Filing(
            name, name, (Label(f"{name}-1", LabelValue.FRAUD, 30), Label(f"{name}-2", LabelValue.FRAUD, 100))
        )
        for name in ("chargeback", "analyst")
    ]
    times = [[label.label_time_us for label in filing.labels] for filing in dated(filings, 100)]
    assert times == [[30, 99], [100, 100]]
    assert dated([], 100) == []


def test_a_retrain_is_a_cycle_that_registered_something() -> None:
    trained = TrainedCycles()
    kinds = ["CycleStarted", "VersionRegistered", "VersionRegistered", "CycleFinished"]
    kinds += ["CycleStarted", "CycleFinished", "CycleStarted", "CycleFailed"]
    kinds += ["CycleStarted", "VersionRegistered", "CycleFailed"]
    for seq, kind in enumerate(kinds, 1):
        trained.apply(_entry(seq, kind))
    assert trained.count == 2
    assert trained.emergencies_us == []
    trained.apply(replace(_entry(99, "CycleStarted"), time_us=7, body={"trigger": "misses"}))
    assert (trained.emergencies_us, trained.started["misses"]) == ([7], 1)


def test_a_service_by_the_wall_clock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"service\.clock"):
        ServiceDefender(Economy(SETTINGS), tmp_path, CONFIG, {"FRAUD__SERVICE__CLOCK": "wall"})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"FRAUD__MONITORING__QUALITY_EVERY": "1h"}, "quality_every: is 1h"),
        ({"FRAUD__TRAINING__TRIGGERS__PROBING": "true"}, "traffic_every: is 1d"),
    ],
)
def test_a_service_whose_emergencies_would_sleep_through_the_contest_is_refused(
    tmp_path: Path, given: dict[str, str], name: str
) -> None:
    with pytest.raises(ConfigError, match=rf"monitoring\.{name} by the wall"):
        ServiceDefender(Economy(SETTINGS), tmp_path, CONFIG, given)
    off = {**given, "FRAUD__TRAINING__TRIGGERS__EMERGENCIES_MAX": "0"}
    ServiceDefender(Economy(SETTINGS), tmp_path, CONFIG, off)


@pytest.mark.process
def test_the_service_plays_a_contest_and_retrains_by_its_own_triggers(tmp_path: Path) -> None:
    economy = Economy(SETTINGS)
    gang = Gang(
        economy, EpsilonGreedy(known_strategies()), Tariff.of(economy.settings), cards_per_day=8.0, seed=1
    )
    frauds: set[str] = set()
    with ServiceDefender(economy, tmp_path / "out", CONFIG, SHORT, first_day=FIRST_DAY) as service:
        defender = Reviewed(service, 5, frauds.__contains__)
        settings = ContestSettings(seed=1, days=DAYS, rounds=4, rules=RULES)
        result = Contest(economy, gang, defender, settings, frauds).play()
        assert service.failed == []
        assert [day.retrains for day in result.days] == [0] * FIRST_DAY + [1] * (DAYS - FIRST_DAY)
        assert service.loop.promotions[MODEL] >= 1
        assert all(day.caught is None for day in result.days[: FIRST_DAY + 1])
        assert all(day.caught is not None for day in result.days[FIRST_DAY + 1 :])
        assert sum(day.detected for day in result.days) > 0
        service.stage.check()
        _logged_is_what_was_played(service, sum(day.honest + day.frauds for day in result.days))
        with pytest.raises(Unavailable, match="'fraud serve' ended with status"):
            _after_the_scorer_died(service, economy.start_us + DAYS * DAY_US)
    assert sum(day.frauds for day in result.days) == len(frauds)


def _logged_is_what_was_played(service: ServiceDefender, payments: int) -> None:
    """All payments are in the log; each cut is a midnight, behind the last labels of its day."""
    settings = service.stage.settings
    log = open_log(settings)
    ledger = LedgerStore.open(settings.places.ledger, writable=False)
    try:
        entries = log.read(0, 100_000)
        cuts = {(it.cut_time_us, it.cut_position) for it in ledger.state().versions.values()}
    finally:
        log.close()
        ledger.close()
    assert sum(isinstance(entry.event, Scored) for entry in entries) == payments
    labels = [entry for entry in entries if isinstance(entry.event, LabelsSubmitted)]
    assert len(cuts) == DAYS - FIRST_DAY
    for time_us, position in cuts:
        assert time_us % DAY_US == 0
        assert max(entry.position for entry in labels if entry.arrival_time_us <= time_us) <= position
        assert all(entry.arrival_time_us >= time_us for entry in entries if entry.position > position)


def _after_the_scorer_died(service: ServiceDefender, now_us: int) -> None:
    os.kill(service.stage.pid_of("serve"), signal.SIGKILL)
    service.stage.join("serve", START_S)
    service.learn([], now_us)
