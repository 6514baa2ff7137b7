"""Rules and lists over the wire: set, shown, named in reasons then and later, and never with a token."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest

from fraud.client import Client
from fraud.errors import InvalidInput, LimitExceeded, NotFound
from fraud.v1 import policy_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.persons import files_with
from tests.serving.registered import Ledger
from tests.serving.worlds import Process, Stream, serving

LARGE = policy_pb2.Rule(
    name="large", when="amount > 950", outcome=scoring_pb2.DECLINE, text="more than anybody here spends"
)
WEB = policy_pb2.Rule(name="web", when="channel = 'web' AND amount > 900", outcome=scoring_pb2.REVIEW)


class Signed(TypedDict):
    """Who asks, and why."""

    actor: str
    reason: str


SIGNED = Signed(actor="ann", reason="case 7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies")


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[Process]:
    with serving(folder, FRAUD__RULES__RULES_MAX="3") as process:
        yield process


@pytest.fixture
def client(process: Process) -> Iterator[Client]:
    with process.client() as client:
        yield client
        client.set_rules("card", [], actor="ann", reason="the test is over")


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Stream:
    return Stream(seed=sum(map(ord, request.node.name)))


def payment(stream: Stream, amount_minor: int = 5_000, **entities: str) -> Transaction:
    wire = stream.next()
    wire.amount_minor = amount_minor
    for name, token in entities.items():
        wire.entities[name] = token
    return wire


def test_a_rule_decides_from_the_next_payment_on_and_says_so(client: Client, stream: Stream) -> None:
    before = client.get_rules("card")
    assert (list(before.rules), before.in_force) == ([], True)
    reply = client.set_rules("card", [LARGE, WEB], **SIGNED)
    assert reply.applied
    decision = client.score(payment(stream, 99_000))
    assert (decision.outcome, decision.rule, decision.propensity) == (scoring_pb2.DECLINE, "large", 1.0)
    assert decision.policy_version == reply.policy_version
    assert [(it.code, it.feature, it.text) for it in decision.reasons] == [
        ("RULE", "large", "more than anybody here spends")
    ]
    assert "NO_CHAMPION" in decision.limits
    assert client.score(payment(stream)).rule == ""
    shown = client.get_rules("card")
    assert (shown.ledger_seq, shown.actor, shown.reason) == (reply.ledger_seq, "ann", "case 7")
    assert [(it.name, it.stage, it.text) for it in shown.rules] == [
        ("large", "before", "more than anybody here spends"),
        ("web", "before", "rule web"),
    ]
    assert shown.in_force
    assert client.get_champion("card").policy_version == reply.policy_version
    assert client.get_history("card").entries[0].kind == "RulesSet"


def test_a_decision_is_explained_by_the_rule_of_then(client: Client, stream: Stream) -> None:
    client.set_rules("card", [LARGE], **SIGNED)
    wire = payment(stream, 99_000)
    decided = client.score(wire)
    again = policy_pb2.Rule(name="large", when="amount > 990", outcome=scoring_pb2.REVIEW, text="another")
    client.set_rules("card", [again], **SIGNED)
    later = client.get_decision(wire.transaction_id)
    assert later.reasons[0].text == "more than anybody here spends"
    assert later == decided == client.score(wire), "an id that came before has its stored answer"


def test_a_rule_that_does_not_fit_is_refused_and_the_others_stay(client: Client, stream: Stream) -> None:
    client.set_rules("card", [LARGE], **SIGNED)
    wrong = policy_pb2.Rule(name="typo", when="amuont > 3", outcome=scoring_pb2.DECLINE)
    with pytest.raises(InvalidInput, match=r"rule 'typo', when: 'amuont' is no column; did you mean amount"):
        client.set_rules("card", [LARGE, wrong], **SIGNED)
    four = [policy_pb2.Rule(name=f"r{i}", when="amount > 1", outcome=scoring_pb2.REVIEW) for i in range(4)]
    with pytest.raises(LimitExceeded, match=r"rules.rules_max"):
        client.set_rules("card", four, **SIGNED)
    with pytest.raises(InvalidInput, match="reason: is empty"):
        client.set_rules("card", [], actor="ann", reason=" ")
    with pytest.raises(InvalidInput, match="outcome: 'UNSPECIFIED'"):
        client.set_rules("card", [policy_pb2.Rule(name="none", when="amount > 1")], **SIGNED)
    with pytest.raises(InvalidInput, match="send one of: card, transfer"):
        client.get_rules("loan")
    assert client.score(payment(stream, 99_000)).rule == "large"


def test_a_listing_counts_at_once_and_until_it_ends_or_is_taken_off(client: Client, stream: Stream) -> None:
    card = f"{stream.seed}-bad"
    first = payment(stream, card=card)
    assert client.score(first).rule == ""
    until_us = first.event_time_us + 10**9
    listed = client.set_listing("block", "card", card, until_us=until_us, **SIGNED)
    assert listed.former == ""
    blocked = client.score(payment(stream, card=card))
    assert (blocked.outcome, blocked.rule) == (scoring_pb2.DECLINE, "block:card")
    assert [(it.code, it.text) for it in blocked.reasons] == [("BLOCK_LIST", "the card is on the block list")]
    assert client.get_decision(blocked.transaction_id).reasons == blocked.reasons
    assert client.set_listing("allow", "card", card, **SIGNED).former == "block"
    allowed = payment(stream, card=card)
    assert client.score(allowed).rule == "allow:card"
    assert client.score(allowed).reasons == [], "an approval carries reasons on request only"
    client.set_listing("block", "card", card, until_us=until_us, **SIGNED)
    stream.now_us = until_us
    assert client.score(payment(stream, card=card)).rule == "", "the listing has ended"
    client.set_listing("block", "card", card, **SIGNED)
    client.set_listing("", "card", card, **SIGNED)
    assert client.score(payment(stream, card=card)).rule == ""


def test_an_entity_that_never_came_can_be_listed_and_is_known_by_number(
    client: Client, stream: Stream
) -> None:
    token = f"{stream.seed}-never-seen"
    listed = client.set_listing("block", "device", token, **SIGNED)
    (found,) = client.list_listings(entity="device", token=token).listings
    assert (found.list_name, found.surrogate, found.actor) == ("block", listed.surrogate, "ann")
    assert token not in str(client.list_listings())
    assert client.score(payment(stream, device=token)).rule == "block:device"


def test_listings_come_in_pages(client: Client, stream: Stream) -> None:
    for i in range(7):
        client.set_listing("allow", "merchant", f"{stream.seed}-m{i}", **SIGNED)
    whole = list(client.list_listings("allow", entity="merchant").listings)
    pages, token = [], ""
    while True:
        page = client.list_listings("allow", entity="merchant", page_size=3, page_token=token)
        pages += list(page.listings)
        token = page.next_page_token
        if not token:
            break
    assert pages == whole
    assert len(whole) >= 7


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("deny", "card", "c1"), "list_name: 'deny' is no list"),
        (("block", "wallet", "c1"), "entity: 'wallet' is none; send one of: card, merchant, device"),
        (("block", "card", ""), "send 1 to 128"),
        (("block", "card", "4111111111111111"), "looks like a card number in clear"),
    ],
)
def test_a_listing_that_cannot_be_is_refused_by_field(
    client: Client, given: tuple[str, str, str], told: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        client.set_listing(*given, **SIGNED)
    assert told in str(refusal.value)


def test_what_is_kept_for_ever_holds_no_token(client: Client) -> None:
    with pytest.raises(InvalidInput, match="reason: holds the token"):
        client.set_listing("block", "card", "tok-1", actor="ann", reason="tok-1 was stolen")
    with pytest.raises(InvalidInput, match="until_us: lies in the past"):
        client.set_listing("block", "card", "tok-1", until_us=1, **SIGNED)
    with pytest.raises(NotFound, match="no such token ever came"):
        client.set_listing("", "card", "tok-1", **SIGNED)
    with pytest.raises(InvalidInput, match="page_token"):
        client.list_listings(page_token="x")


def test_an_erased_entity_leaves_its_listing_but_no_token(
    client: Client, folder: Path, stream: Stream
) -> None:
    token = "tok-of-ann-77aa"
    client.score(payment(stream, card=token))
    surrogate = client.set_listing("block", "card", token, **SIGNED).surrogate
    assert files_with(folder, (token.encode(),)) != []
    done = client.erase_entity("card", token, actor="ann", reason="request 4711")
    assert done.complete
    assert files_with(folder, (token.encode(),)) == []
    assert surrogate in {it.surrogate for it in client.list_listings(entity="card").listings}
    assert client.score(payment(stream, card=token)).rule == "", "who comes back is somebody new"


def test_with_a_model_its_reasons_follow_the_rules(client: Client, folder: Path, stream: Stream) -> None:
    ledger = Ledger(folder)
    ledger.register("card-1", upto=1)
    ledger.promote(client, "card-1")
    client.set_rules("card", [LARGE], **SIGNED)
    decision = client.score(payment(stream, 99_000))
    assert decision.HasField("score")
    assert (decision.version, decision.rule) == ("card-1", "large")
    assert decision.reasons[0].code == "RULE"
    assert len(decision.reasons) > 1
    assert client.get_decision(decision.transaction_id) == decision
    assert client.get_champion("card").policy_version == decision.policy_version
    ledger.store.close()
