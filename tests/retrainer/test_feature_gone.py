"""A feature that the champion reads, or its bundle, is gone: the loop goes on without it."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.registry.approval import awaiting_approval
from fraud.registry.store import promote
from fraud.report.folder import Folder
from fraud.report.version_page import read_version
from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop, champion_of
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import judge_challengers
from fraud.retrainer.probation import ProbationWatch
from fraud.retrainer.sentinels import SentinelDesk
from fraud.retrainer.shadowing import ShadowWatch
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.retrainer.answering import EAGER, answering, look, shown
from tests.retrainer.patterns import START_US, World, ids_of


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(34)
    yield opened
    opened.close()


def without_sums(world: World, **environment: str) -> Workshop:
    """Take a feature out of the configuration that every version of this world reads, and start again."""
    world.archive.copy_from(world.log)
    text = world.config.read_text(encoding="utf-8")
    assert text.count('["count", "sum"]') == 1
    world.config.write_text(text.replace('["count", "sum"]', '["count"]'), encoding="utf-8")
    shop = open_workshop(load_settings(world.config, environment))
    world.settings, world.spec, world.archive = shop.settings, shop.spec, shop.archive
    return shop


def test_it_is_followed_as_if_there_were_none_and_who_waits_for_it_is_let_go(world: World) -> None:
    world.crown(world.train())
    world.train()
    shop = without_sums(world)
    champion = champion_of(shop, shop.state(), "card")
    assert champion is not None
    assert "does not hold card_sum_1h" in champion.unreadable
    assert world.train() == "card-3"
    history = world.history()
    concluded = judge_challengers(shop, "card", champion, Casework(history, shop.bundles), history)
    assert [(it.version, it.verdict) for it in concluded] == [("card-2", "REJECT"), ("card-3", "PROMOTE")]
    state = shop.state()
    assert state.champion("card") == "card-3"
    assert state.version("card-2").status == "superseded"
    followed = champion_of(shop, state, "card")
    assert followed is not None
    assert not followed.unreadable


def test_monitoring_shows_what_it_can_and_fails_in_nothing(tmp_path: Path) -> None:
    world = answering(tmp_path)
    shop = without_sums(world, **EAGER)
    with capture_logs() as logged:
        look(world, shop, Monitor(shop))
    assert [it["event"] for it in logged] == []
    recall = {
        subject: shown(shop, "fraud_realised_recall", subject=subject, window="6d", bound="point")
        for subject in ("decisions", "champion", "first", "shadow_1")
    }
    assert recall["decisions"] > 0.9
    assert math.isnan(recall["champion"]), "card-2 reads the sums"
    assert recall["first"] == pytest.approx(0.5, abs=0.2), "card-1 never did"
    assert not math.isnan(recall["shadow_1"])
    assert math.isnan(shown(shop, "fraud_recent_rows")), "nothing tells what the champion would make of it"
    assert shown(shop, "fraud_recent_traffic_share", kind="new_card") == 1.0
    world.close()


def test_a_probation_waits_for_the_next_champion_and_is_named_once(world: World) -> None:
    world.crown(world.train())
    promote(
        world.ledger,
        "card",
        world.train(),
        "card-1",
        actor="test",
        reason="",
        time_us=START_US + 34 * DAY_US,
        probation_us=2 * DAY_US,
    )
    world.pass_days(44)
    shop = without_sums(world)
    shop.clock.observe(world.log.last_arrival_us())
    watch = ProbationWatch(shop)
    with capture_logs() as logged:
        watch.turn()
        watch.turn()
    assert [it["event"] for it in logged] == ["probation cannot be judged"]
    assert "does not hold card_sum_1h" in str(logged[0]["error"])
    assert world.ledger.state().champion("card") == "card-2"


def test_what_waits_in_shadow_for_it_is_let_go(world: World) -> None:
    shadow_first = {"FRAUD__GATE__MODE": "shadow"}
    world.train()
    shop = open_workshop(load_settings(world.config, shadow_first))
    history = world.history()
    judge_challengers(shop, "card", None, Casework(history, shop.bundles), history)
    assert [it.version for it in awaiting_approval(shop.state(), "card")] == ["card-1"]
    shop = without_sums(world, **shadow_first)
    ShadowWatch(shop).turn()
    assert shop.state().version("card-1").status == "superseded"
    assert "does not hold card_sum_1h" in list(world.ledger.read())[-1].reason


def test_sentinels_stand_without_it_and_a_report_names_it(world: World) -> None:
    world.crown(world.train())
    shop = without_sums(world)
    desk = SentinelDesk.open(shop.settings)
    added = desk.add("card", "burst", ids_of("burst", range(20, 24)), actor="jane", reason="audit")
    assert added.sentinels is not None
    (standing,) = desk.standings("card")
    desk.close()
    assert standing.caught is None
    with pytest.raises(ConfigError, match=r"^card-1: features: the service does not hold card_sum_1h; add"):
        read_version(Folder.open(shop.settings), "card-1")
    assert world.train() == "card-2"
    (problem,) = read_version(Folder.open(shop.settings), "card-2").problems
    assert problem.startswith("card-1: features: the service does not hold card_sum_1h")


def test_a_champion_whose_bundle_is_gone_is_followed_and_a_damaged_challenger_let_go(world: World) -> None:
    world.crown(world.train())
    world.pass_days(35)
    world.train()
    shop = open_workshop(load_settings(world.config, {}))
    bundles = shop.settings.places.bundles
    first, second = (bundles / shop.state().version(it).digest for it in ("card-1", "card-2"))
    shutil.rmtree(first)
    with (second / "booster.ubj").open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    champion = champion_of(shop, shop.state(), "card")
    assert champion is not None
    assert "is not in the store" in champion.unreadable
    world.pass_days(36)
    assert world.train() == "card-3"
    history = world.history()
    concluded = judge_challengers(shop, "card", champion, Casework(history, shop.bundles), history)
    assert [(it.version, it.verdict) for it in concluded] == [("card-2", "REJECT"), ("card-3", "PROMOTE")]
    assert "has digest" in concluded[0].reason
    assert shop.state().champion("card") == "card-3"
