"""Cycles of a service where promotion takes a person's approval."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fraud.clock import DAY_US
from fraud.labels.exclusions import Exclusion
from fraud.registry.approval import awaiting_approval
from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import CycleVerdict, judge_challengers, waiting_of
from fraud.settings import load_settings
from tests.retrainer.patterns import START_US, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path)
    opened.pass_days(34)
    yield opened
    opened.close()


@pytest.fixture
def shop(world: World) -> Workshop:
    return open_workshop(load_settings(world.config, {"FRAUD__GATE__MODE": "approval"}))


def exclude_evidence(world: World, *, muted: bool = False) -> int:
    """Hide the labels that the evidence of card-1 rests on, none of which taught it; return the entry."""
    data = Exclusion("labels", from_us=START_US + 23 * DAY_US)
    seq = world.exclude(data, muted=muted)
    assert world.ledger.state().tainted_by("card-1") == ()
    return seq


def judge(world: World, shop: Workshop, **gate: float) -> list[CycleVerdict]:
    """The end of a cycle on what is known now."""
    settings = shop.settings.model_copy(update={"gate": shop.settings.gate.model_copy(update=gate)})
    history = replace(world.history(), settings=settings)
    judging = replace(shop, settings=settings)
    champion = world.rival(world.ledger.state().champion("card"))
    return judge_challengers(judging, "card", champion, Casework(history, world.bundles), history)


def waiting(world: World) -> list[str]:
    return [version.version for version in awaiting_approval(world.ledger.state(), "card")]


def test_what_passes_the_gate_waits_and_the_verdict_says_what_it_was_read_from(
    world: World, shop: Workshop
) -> None:
    world.train()
    (concluded,) = judge(world, shop)
    assert concluded.verdict == "PROMOTE", concluded.reason
    state = world.ledger.state()
    assert (state.champion("card"), waiting(world)) == ("", ["card-1"])
    (verdict,) = state.version("card-1").verdicts
    body = world.ledger.find([verdict.seq])[verdict.seq].body
    cut = world.history().cut
    assert body["evidence"] == {"cut": {"position": cut.position, "time_us": cut.time_us}, "view": "all"}


def test_a_cycle_neither_promotes_nor_drops_nor_judges_again_what_awaits_approval(
    world: World, shop: Workshop
) -> None:
    world.train()
    judge(world, shop)
    world.pass_days(38)
    world.train()
    harder = judge(world, shop, floor_average_precision=1.0, pending_max=0)
    assert (harder[0].version, harder[0].verdict) == ("card-1", "PROMOTE")
    assert harder[0].reason.startswith("awaits approval: first version: ")
    assert harder[1].verdict != "PROMOTE"
    state = world.ledger.state()
    assert (state.champion("card"), waiting(world)) == ("", ["card-1"])
    assert len(state.version("card-1").verdicts) == 1
    assert state.version("card-2").status in ("rejected", "superseded"), "pending_max holds for the others"


def test_a_newer_promote_supersedes_what_awaits_approval(world: World, shop: Workshop) -> None:
    world.train()
    judge(world, shop)
    world.pass_days(38)
    world.train()
    assert [it.verdict for it in judge(world, shop)] == ["PROMOTE", "PROMOTE"]
    state = world.ledger.state()
    assert (state.champion("card"), waiting(world)) == ("", ["card-2"])
    assert state.version("card-1").status == "superseded"


def test_several_of_one_cycle_wait_together(world: World, shop: Workshop) -> None:
    world.train()
    world.train()
    judge(world, shop)
    assert waiting(world) == ["card-1", "card-2"]


def test_after_a_promotion_the_others_are_judged_anew_against_the_new_champion(
    world: World, shop: Workshop
) -> None:
    world.train()
    world.train()
    judge(world, shop)
    world.crown("card-2")
    assert waiting(world) == []
    (concluded,) = judge(world, shop)
    assert (concluded.version, concluded.verdict) == ("card-1", "INCONCLUSIVE")
    assert world.ledger.state().version("card-1").verdicts[-1].against == "card-2"


def test_without_approval_the_best_is_promoted_by_itself(world: World) -> None:
    world.train()
    judge(world, open_workshop(world.settings))
    assert world.ledger.state().champion("card") == "card-1"


@pytest.mark.parametrize("muted", [False, True])
def test_what_waits_is_judged_anew_once_its_evidence_is_excluded(
    world: World, shop: Workshop, muted: bool
) -> None:
    world.train()
    judge(world, shop)
    assert waiting(world) == ["card-1"]
    exclude_evidence(world, muted=muted)
    assert waiting(world) == []
    (concluded,) = judge(world, shop)
    assert (concluded.version, concluded.verdict) == ("card-1", "INCONCLUSIVE"), concluded.reason
    assert len(world.ledger.state().version("card-1").verdicts) == 2


def test_an_exclusion_that_lands_while_a_cycle_judges_stops_its_promotion(world: World) -> None:
    world.train()
    history = world.history()
    exclude_evidence(world)
    shop = open_workshop(world.settings)
    (concluded,) = judge_challengers(shop, "card", None, Casework(history, world.bundles), history)
    assert (concluded.version, concluded.verdict) == ("card-1", "PROMOTE")
    assert concluded.reason.startswith("not promoted: the verdict on card-1")
    state = world.ledger.state()
    assert (state.champion("card"), state.version("card-1").status) == ("", "challenger")
    (again,) = judge(world, shop)
    assert again.verdict == "INCONCLUSIVE", again.reason
    assert world.ledger.state().champion("card") == ""


def test_nobody_gives_way_to_a_version_whose_evidence_was_excluded_while_it_was_judged(
    world: World, shop: Workshop
) -> None:
    world.train()
    judge(world, shop)
    world.pass_days(38)
    world.train()
    history = world.history()
    # Day 34 is behind the cut of card-1 and within what card-2 is judged on.
    world.exclude(Exclusion("labels", batch_id="customer-31"))
    judge_challengers(shop, "card", None, Casework(history, world.bundles), history)
    assert waiting(world) == ["card-1"]
    assert world.ledger.state().version("card-2").status == "challenger"


def test_what_passed_as_an_emergency_waits_for_a_person_and_for_no_time_in_shadow(
    world: World, shop: Workshop
) -> None:
    world.train()
    judge(world, shop)
    verdict = world.ledger.state().version("card-1").verdicts[-1]
    (entry,) = world.ledger.find([verdict.seq]).values()
    world.ledger.append(entry.kind, entry.body | {"way": "emergency"}, actor="t", reason="", time_us=0)
    assert [it.version for it in waiting_of(shop, "card")] == ["card-1"]
    shadow = open_workshop(load_settings(world.config, {"FRAUD__GATE__MODE": "shadow"}))
    assert waiting_of(shadow, "card") == []
    assert [it.version for it in shadow.state().pending("card")] == ["card-1"], "it is judged anew"


def test_a_version_that_a_person_promotes_while_the_cycle_lets_the_others_go_is_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [world.train() for _ in range(3)]
    shop, record, promoted = open_workshop(world.settings), Workshop.record, list[str]()

    def promote_before(shop: Workshop, kind: str, body: dict[str, Any], reason: str) -> int:
        if kind == "VersionDropped" and not promoted:
            promoted.append(body["version"])
            world.crown(body["version"])
        return record(shop, kind, body, reason)

    monkeypatch.setattr(Workshop, "record", promote_before)
    assert [it.verdict for it in judge(world, shop)] == ["PROMOTE"] * 3
    state = world.ledger.state()
    assert [state.champion("card")] == promoted
    statuses = sorted(state.version(name).status for name in names)
    assert statuses == ["champion", "former champion", "superseded"], "the others are let go all the same"
