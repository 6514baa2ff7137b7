"""A feature that the champion reads is taken out of the configuration: the loop goes on without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop, champion_of
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import judge_challengers
from fraud.settings import load_settings
from tests.retrainer.patterns import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(34)
    yield opened
    opened.close()


def without_sums(world: World) -> Workshop:
    """Take a feature that all versions read out of the configuration, and start again."""
    world.archive.copy_from(world.log)
    text = world.config.read_text(encoding="utf-8")
    assert text.count('["count", "sum"]') == 1
    world.config.write_text(text.replace('["count", "sum"]', '["count"]'), encoding="utf-8")
    shop = open_workshop(load_settings(world.config, {}))
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
