"""Lists and rules in the scorer: their order, what they leave to the model, and what survives a restart."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fraud.errors import LimitExceeded
from fraud.policy.rules import Rule, RuleSet
from fraud.records import MISSING_SURROGATE, Applied, Decision, EntityListed, Outcome
from fraud.registry.rules import RULES_SET
from fraud.registry.store import LedgerStore, promote
from fraud.serving.intake import TransactionIntake
from fraud.serving.policies import PolicyServicer
from fraud.serving.server import ScoringProcess
from fraud.settings import Settings, load_settings
from fraud.v1.policy_pb2 import SetListingRequest
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.test_exploring import exploring, inside, score, spending_of
from tests.serving.worlds import Stream, settings_in

DECLINE, APPROVE, REVIEW = Outcome.DECLINE, Outcome.APPROVE, Outcome.REVIEW
LARGE = Rule("large", "amount > 100", REVIEW, "before", "large amount")
CERTAIN = Rule("certain", "score >= 0 AND outcome = 'DECLINE' AND channel = 'web'", APPROVE, "after", "ok")


def set_rules(settings: Settings, *rules: Rule, model: str = "card") -> None:
    store = LedgerStore.open(settings.places.ledger)
    body = {"model": model, "rules": [rule.to_dict() for rule in rules]}
    store.append(RULES_SET, body, actor="ann", reason="gift cards", time_us=1)
    store.close()


def put(process: ScoringProcess, list_name: str, entity: str, token: str, until_us: int = 0) -> None:
    event = EntityListed(list_name, entity, MISSING_SURROGATE, until_us, "ann", "case 7")
    process.scorer.append_listing(event, token)


def payment(stream: Stream, **changes: object) -> Transaction:
    """One that no rule here and no list concerns, unless `changes` make it so."""
    wire = stream.next()
    wire.amount_minor = int(str(changes.get("amount_minor", 5_000)))
    for name in ("card", "merchant"):
        wire.entities[name] = str(changes.get(name, f"other-{name}"))
    wire.categoricals["channel"] = str(changes.get("channel", "shop"))
    return wire


async def decide(process: ScoringProcess, *wires: Transaction) -> list[Decision]:
    class Given(Stream):
        def take(self, rows: int, **_: object) -> list[Transaction]:
            return list(wires[:rows])

    return await score(process, Given(), len(wires))


def rules_of(decisions: Sequence[Decision]) -> list[tuple[str, Outcome]]:
    return [(decision.rule, decision.outcome) for decision in decisions]


def test_a_block_goes_before_an_allow_before_a_rule_before_the_model_before_a_rule(tmp_path: Path) -> None:
    stream, settings = Stream(seed=61), exploring(tmp_path)
    set_rules(settings, CERTAIN, LARGE)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        put(process, "allow", "merchant", "ours")
        large = {"amount_minor": 20_000}
        decisions = await decide(
            process,
            payment(stream, card="bad", merchant="ours", **large),
            payment(stream, merchant="ours", **large),
            payment(stream, channel="web", **large),
            payment(stream, channel="web"),
            payment(stream),
        )
        assert rules_of(decisions[:4]) == [
            ("block:card", DECLINE),
            ("allow:merchant", APPROVE),
            ("large", REVIEW),
            ("certain", APPROVE),
        ]
        assert decisions[4].rule == ""
        for decision in decisions:
            assert decision.score is not None, "the model's score stands beside it"
            assert decision.version == "card-1"
            assert decision.policy_version.endswith(f"+{RuleSet((CERTAIN, LARGE)).digest}")

    inside(settings, body)


def test_what_was_decided_beside_the_model_is_never_explored(tmp_path: Path) -> None:
    stream, settings = Stream(seed=62), exploring(tmp_path)
    set_rules(settings, Rule("web", "channel = 'web'", DECLINE, "after", "web"))

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        before = spending_of(process)["models"]
        wires = [payment(stream, channel="web", amount_minor=100) for _ in range(20)]
        wires += [payment(stream, card="bad", amount_minor=100) for _ in range(20)]
        ruled = await decide(process, *wires)
        assert {(it.outcome, it.explored, it.propensity) for it in ruled} == {(DECLINE, False, 1.0)}
        assert spending_of(process)["models"] == before
        rest = await decide(process, *[payment(stream, amount_minor=100) for _ in range(20)])
        assert any(decision.explored for decision in rest)

    inside(settings, body)


def test_without_a_model_lists_and_rules_decide_alone(tmp_path: Path) -> None:
    stream, settings = Stream(seed=63), settings_in(tmp_path)
    set_rules(settings, LARGE, CERTAIN)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        wires = [payment(stream, card="bad"), payment(stream, amount_minor=20_000), payment(stream)]
        decisions = await decide(process, *wires)
        assert rules_of(decisions) == [("block:card", DECLINE), ("large", REVIEW), ("", APPROVE)]
        digest = RuleSet((LARGE, CERTAIN)).digest
        assert {(it.policy_version, it.version, it.limits[0]) for it in decisions} == {
            (f"rules+{digest}", "", "NO_CHAMPION")
        }

    inside(settings, body)


def test_rules_change_without_a_restart_and_the_log_says_from_when(tmp_path: Path) -> None:
    stream, settings = Stream(seed=64), exploring(tmp_path)

    async def body(process: ScoringProcess) -> None:
        async def policy() -> str:
            return (await decide(process, payment(stream, amount_minor=20_000)))[0].policy_version

        plain = await policy()
        assert "+" not in plain
        spoken = [plain]
        for rules in ((LARGE,), (LARGE, CERTAIN), ()):
            set_rules(settings, *rules)
            await process.follower.poll(process.batcher)
            spoken.append(await policy())
            assert process.scorer.overruling.policy_version("card", plain) == spoken[-1]
        assert spoken[-1] == plain
        assert len(set(spoken)) == 3
        noted = [it.event for it in process.log.applied() if isinstance(it.event, Applied)]
        assert [it.policy_version for it in noted if it.model == "card"] == spoken
        assert {it.version for it in noted} == {"card-1"}
        seqs = [it.ledger_seq for it in noted]
        assert seqs == sorted(seqs)

    inside(settings, body)


@pytest.mark.parametrize("rules_first", [True, False])
def test_rules_and_a_promotion_that_wait_together_both_take_effect(tmp_path: Path, rules_first: bool) -> None:
    stream, settings = Stream(seed=70), exploring(tmp_path)

    async def first(process: ScoringProcess) -> None:
        (decision,) = await decide(process, payment(stream))
        assert decision.version == "card-1"

    inside(settings, first)
    store = LedgerStore.open(settings.places.ledger)
    body = store.read()[0].body | {"version": "card-2", "attempt": 2}
    store.append("VersionRegistered", body, actor="test", reason="", time_us=1)
    if rules_first:
        set_rules(settings, LARGE)
    promote(store, "card", "card-2", "card-1", actor="test", reason="", time_us=1)
    if not rules_first:
        set_rules(settings, LARGE)
    store.close()

    async def second(process: ScoringProcess) -> None:
        (decision,) = await decide(process, payment(stream, amount_minor=20_000))
        assert (decision.version, decision.rule) == ("card-2", "large")
        applied = process.log.applied()
        last = applied[-1].event
        assert isinstance(last, Applied)
        assert (last.version, last.policy_version) == ("card-2", decision.policy_version)
        await process.follower.poll(process.batcher)
        assert len(process.log.applied()) == len(applied)

    inside(settings, second)
    process = ScoringProcess(settings)
    noted = len(process.log.applied())
    process.scorer.recover()
    process.follower.start()
    assert len(process.log.applied()) == noted, "a restart that changes nothing notes nothing"
    process.close()


def test_rules_that_no_longer_fit_are_refused_aloud_and_the_service_serves(tmp_path: Path) -> None:
    stream, settings = Stream(seed=65), exploring(tmp_path)
    set_rules(settings, LARGE, Rule("gone", "card_count_1h > 5", DECLINE, "before", "often"))
    ruled: list[str] = []

    async def first(process: ScoringProcess) -> None:
        (decision,) = await decide(process, payment(stream, amount_minor=20_000))
        ruled.append(decision.policy_version)
        assert decision.rule == "large"

    inside(settings, first)
    path = tmp_path / "fraud.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count('["1h", "24h", "7d"]') == 1
    path.write_text(text.replace('["1h", "24h", "7d"]', '["24h", "7d"]'), encoding="utf-8")
    changed = load_settings(path, {})
    process = ScoringProcess(changed)
    process.scorer.recover()
    process.follower.start()
    try:
        assert process.scorer.overruling.get("card") is None
        assert "rule 'gone'" in process.ruling.refused("card")
        assert process.metrics.registry.get_sample_value("fraud_rules_refused", {"model": "card"}) == 1
        last = process.log.last_applied()["card"].event
        assert isinstance(last, Applied)
        assert last.policy_version != ruled[0]
        assert "+" not in last.policy_version
    finally:
        process.close()


@pytest.mark.parametrize("snapshot", ["none", "with lists", "lists lost", "lists spoiled", "pruned"])
def test_who_is_listed_comes_back_after_a_restart(tmp_path: Path, snapshot: str) -> None:
    stream, settings = Stream(seed=66), settings_in(tmp_path)

    async def first(process: ScoringProcess) -> None:
        await decide(process, payment(stream), payment(stream))
        put(process, "block", "card", "bad")
        put(process, "allow", "merchant", "ours")
        now_us = process.scorer.now_us()
        put(process, "block", "device", "short", until_us=now_us + 1)
        if snapshot != "none":
            process.keeper.snapshot_now()
        if snapshot == "pruned":
            process.archive.copy_from(process.log)
            assert process.log.prune(process.archive.position(), now_us + 1) > 0
        put(process, "", "merchant", "ours")
        await decide(process, payment(stream))

    async def second(process: ScoringProcess) -> None:
        decisions = await decide(process, payment(stream, card="bad"), payment(stream, merchant="ours"))
        assert rules_of(decisions) == [("block:card", DECLINE), ("", APPROVE)]
        assert process.scorer.state is not None
        assert process.scorer.state.lists.counts == {"block": 1, "allow": 0}
        process.scorer._lose_state()
        (again,) = await decide(process, payment(stream, card="bad"))
        assert again.rule == "block:card"

    inside(settings, first)
    for path in settings.places.state.glob("lists-*.json"):
        if snapshot in ("lists lost", "pruned"):
            path.unlink()
        if snapshot == "lists spoiled":
            path.write_text('{"card": [[1, "block"]]}')
    inside(settings, second)


def test_a_self_score_takes_the_same_path_and_leaves_no_trace(tmp_path: Path) -> None:
    stream, settings = Stream(seed=67), exploring(tmp_path)
    set_rules(settings, LARGE)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        await decide(process, payment(stream))
        state = process.scorer.state
        assert state is not None
        before = state.lists.to_dict(), len(state.dictionary), process.log.head()
        read = TransactionIntake(settings).read
        blocked = process.scorer.self_score(read(payment(stream, card="bad"), 2**61))
        large = process.scorer.self_score(read(payment(stream, amount_minor=20_000, card="new"), 2**61))
        assert rules_of([blocked, large]) == [("block:card", DECLINE), ("large", REVIEW)]
        assert (state.lists.to_dict(), len(state.dictionary), process.log.head()) == before
        assert _ruled(process, "block:card") is None

    inside(settings, body)


def test_series_of_rules_that_are_gone_end(tmp_path: Path) -> None:
    stream, settings = Stream(seed=68), exploring(tmp_path)
    set_rules(settings, LARGE)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        await decide(
            process, payment(stream, amount_minor=20_000), payment(stream, card="bad"), payment(stream)
        )
        assert (_ruled(process, "large"), _ruled(process, "block:card")) == (1, 1)
        set_rules(settings, CERTAIN)
        await process.follower.poll(process.batcher)
        assert (_ruled(process, "large"), _ruled(process, "certain")) == (None, 0)
        assert _ruled(process, "block:card") == 1

    inside(settings, body)


def _ruled(process: ScoringProcess, rule: str) -> float | None:
    labels = {"model": "card", "rule": rule}
    return process.metrics.registry.get_sample_value("fraud_rule_decisions_total", labels)


def test_no_more_are_listed_than_the_setting_allows(tmp_path: Path) -> None:
    settings_in(tmp_path)
    settings = load_settings(tmp_path / "fraud.toml", {"FRAUD__RULES__LISTINGS_MAX": "2"})

    async def body(process: ScoringProcess) -> None:
        servicer = PolicyServicer(
            settings,
            process.registry,
            process.scorer,
            process.batcher,
            process.champions,
            process.ruling,
            process.follower,
        )

        def ask(list_name: str, token: str) -> SetListingRequest:
            return SetListingRequest(
                list_name=list_name, entity="card", token=token, actor="ann", reason="case 7"
            )

        await servicer.set_listing(ask("block", "one"))
        await servicer.set_listing(ask("block", "two"))
        with pytest.raises(LimitExceeded, match=r"rules\.listings_max"):
            await servicer.set_listing(ask("block", "three"))
        assert (await servicer.set_listing(ask("allow", "two"))).former == "block"
        await servicer.set_listing(ask("", "one"))
        await servicer.set_listing(ask("block", "three"))

    inside(settings, body)


def test_rules_that_fail_leave_the_payment_to_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, settings = Stream(seed=69), settings_in(tmp_path)
    set_rules(settings, LARGE)

    async def body(process: ScoringProcess) -> None:
        put(process, "block", "card", "bad")
        rules = process.scorer.overruling.get("card")
        assert rules is not None
        monkeypatch.setattr(type(rules), "deciding", lambda *_: 1 / 0)
        decisions = await decide(process, payment(stream, amount_minor=20_000), payment(stream, card="bad"))
        assert rules_of(decisions) == [("", APPROVE), ("block:card", DECLINE)]
        counted = process.metrics.registry.get_sample_value("fraud_rule_failures_total", {"model": "card"})
        assert counted == 1

    inside(settings, body)
