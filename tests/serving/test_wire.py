"""The service over its real wire: one process, real log, real client."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest

from fraud.client import Client
from fraud.errors import Conflict, InvalidInput, NotFound, Unavailable
from fraud.records import Label, LabelValue, OutcomeReport, PaymentOutcome
from fraud.v1 import labels_pb2, models_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.worlds import START_S, START_US, Process, Stream, serving


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("wire")) as process:
        yield process


@pytest.fixture
def client(process: Process) -> Iterator[Client]:
    with process.client() as client:
        yield client


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Stream:
    # A seed of its own per test, so that transaction ids never meet.
    return Stream(seed=sum(map(ord, request.node.name)))


def test_without_a_champion_it_still_answers_and_says_so(client: Client, stream: Stream) -> None:
    decision = client.score(stream.next())
    assert decision.outcome == scoring_pb2.APPROVE
    assert not decision.HasField("score")
    assert "NO_CHAMPION" in decision.limits
    assert client.score(stream.next(model="transfer")).outcome == scoring_pb2.REVIEW


def test_a_first_sight_of_an_entity_is_a_limit_of_the_answer(client: Client, stream: Stream) -> None:
    wire = stream.next()
    wire.entities["card"] = "never-seen-before"
    assert "NEW_CARD" in client.score(wire).limits
    again = Transaction()
    again.CopyFrom(wire)
    again.transaction_id += "-again"
    assert "NEW_CARD" not in client.score(again).limits


def test_the_same_record_again_gets_the_stored_answer(client: Client, stream: Stream) -> None:
    wire = stream.next()
    assert client.score(wire) == client.score(wire)


def test_the_same_id_with_another_record_is_refused(client: Client, stream: Stream) -> None:
    wire = stream.next()
    client.score(wire)
    wire.amount_minor += 1
    with pytest.raises(Conflict, match=r"scored before with another record.*send a new id"):
        client.score(wire)


def test_duplicates_in_flight_together_count_once(client: Client, stream: Stream) -> None:
    first, second = stream.take(2)
    results = client.score_batch([first, first, second, first])
    assert len({result.decision.arrival_time_us for result in results}) == 1
    assert results[0] == results[1] == results[3]
    probe = Transaction()
    probe.CopyFrom(first)
    probe.transaction_id += "-probe"
    probe.event_time_us += 1
    assert "NEW_CARD" not in client.score(probe).limits


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (lambda t: t.entities.pop("card"), "entities.card", "is missing"),
        (lambda t: t.entities.update({"phone": "x"}), "entities.phone", "send only: card, device, merchant"),
        (lambda t: t.entities.update({"card": ""}), "entities.card", "has 0 characters"),
        (lambda t: t.entities.update({"card": "4111111111111111"}), "entities.card", "card number in clear"),
        (lambda t: t.numerics.update({"distance": float("nan")}), "numerics.distance", "is nan"),
        (lambda t: t.numerics.update({"distance": -1.0}), "numerics.distance", "out of bounds"),
        (lambda t: t.numerics.update({"speed": 1.0}), "numerics.speed", "not in the schema"),
        (lambda t: t.categoricals.clear(), "categoricals.channel", "is missing"),
        (lambda t: t.categoricals.update({"colour": "red"}), "categoricals.colour", "not in the schema"),
        (lambda t: setattr(t, "amount_minor", -5), "amount_minor", "is negative"),
        (lambda t: setattr(t, "amount_minor", 2**40), "amount_minor", "schema.amount.max_minor"),
        (lambda t: setattr(t, "currency", "eur"), "currency", "ISO 4217"),
        (lambda t: setattr(t, "currency", "USD"), "amount_base_minor", "EUR as well"),
        (lambda t: setattr(t, "model", "loan"), "model", "send one of: card, transfer"),
        (lambda t: setattr(t, "transaction_id", ""), "transaction_id", "send 1 to 128"),
        (lambda t: setattr(t, "event_time_us", -1), "event_time_us", "is before 2000"),
    ],
)
def test_a_wrong_field_is_refused_by_name_with_the_remedy(
    client: Client, stream: Stream, change: object, field: str, says: str
) -> None:
    wire = stream.next()
    assert callable(change)
    change(wire)
    with pytest.raises(InvalidInput) as caught:
        client.score(wire)
    assert caught.value.field == field
    assert says in str(caught.value)


def test_a_bad_row_of_a_batch_gets_its_error_and_the_others_are_scored(
    client: Client, stream: Stream
) -> None:
    rows = stream.take(3)
    rows[1].model = "loan"
    results = client.score_batch(rows)
    assert [result.WhichOneof("result") for result in results] == ["decision", "error", "decision"]
    assert results[1].error.field == "model"
    assert results[1].error.code == "INVALID_ARGUMENT"


def test_a_batch_above_its_limit_is_refused_whole_and_names_the_setting(
    client: Client, stream: Stream
) -> None:
    rows = stream.take(51)
    with pytest.raises(InvalidInput, match=r"has 51 rows; send at most 50 a call .server.batch_rows_max"):
        client.score_batch(rows)
    with pytest.raises(NotFound):
        client.get_decision(rows[0].transaction_id)
    assert len(client.score_batch(rows[:50])) == 50


def test_a_message_above_its_limit_is_refused_and_names_the_setting(client: Client, stream: Stream) -> None:
    wire = stream.next()
    wire.entities["card"] = "x" * 70_000
    with pytest.raises(InvalidInput, match=r"send at most 65536 \(server.message_bytes_max\)"):
        client.score(wire)


def test_a_decision_can_be_read_back(client: Client, stream: Stream) -> None:
    decision = client.score(stream.next())
    assert client.get_decision(decision.transaction_id) == decision
    with pytest.raises(NotFound, match="no-such"):
        client.get_decision("no-such")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_decision("\x01" * 30_000),
        lambda client: client.get_lineage(batch_id="é" * 15_000),
        lambda client: client.get_version("card-" + "9" * 30_000),
    ],
)
def test_what_was_sent_is_not_told_back_at_any_length(client: Client, call: Any) -> None:
    """A client takes 8 KiB of metadata: more reads as overload, and would be tried again."""
    with pytest.raises(NotFound) as caught:
        call(client)
    assert len(str(caught.value)) < 700


def test_a_currency_of_any_length_is_a_mistake_of_its_sender(client: Client, stream: Stream) -> None:
    wire = stream.next()
    wire.currency = "E" * 20_000
    with pytest.raises(InvalidInput, match=r"^currency: 'EEE.*\[…\].*ISO 4217"):
        client.score(wire)


def test_more_outcomes_than_there_are_ask_for_nothing(client: Client) -> None:
    with pytest.raises(InvalidInput, match="outcomes: has 6 rows; send at most 5 "):
        client.list_decisions(["REVIEW"] * 6)


def test_the_queue_pages_through_decisions_by_outcome(client: Client, stream: Stream) -> None:
    sent = [client.score(wire).transaction_id for wire in stream.take(5, model="transfer")]
    seen: list[str] = []
    token = ""
    while True:
        page = client.list_decisions(["REVIEW"], model="transfer", page_token=token, page_size=2)
        seen += [decision.transaction_id for decision in page.decisions]
        token = page.next_page_token
        if not token:
            break
    assert seen[-5:] == sent
    assert all(decision.outcome == scoring_pb2.REVIEW for decision in page.decisions)


def test_labels_join_wait_or_are_refused_row_by_row(client: Client, stream: Stream) -> None:
    wire = stream.next()
    client.score(wire)
    labels = [
        Label(wire.transaction_id, LabelValue.FRAUD, stream.now_us),
        Label("not-yet-seen", LabelValue.FRAUD, stream.now_us),
        Label("", LabelValue.FRAUD, stream.now_us),
        Label(wire.transaction_id, LabelValue.UNSPECIFIED, stream.now_us),
    ]
    reply = client.submit_labels("batch-1", 0, "chargeback", "bank", labels)
    assert (reply.accepted, reply.waiting) == (1, 1)
    assert [(row.index, row.field) for row in reply.refused] == [(2, "transaction_id"), (3, "value")]
    assert client.submit_labels("batch-1", 0, "chargeback", "bank", labels).repeated
    with pytest.raises(Conflict, match="taken before with other labels"):
        client.submit_labels("batch-1", 0, "chargeback", "bank", labels[:1])


@pytest.mark.parametrize(
    ("batch_id", "part", "source", "submitter", "field"),
    [
        ("", 0, "chargeback", "x", "batch_id"),
        ("b", -1, "chargeback", "x", "part"),
        ("b", 0, "rumour", "x", "source"),
        ("b", 0, "chargeback", "", "submitter"),
    ],
)
def test_a_wrong_batch_is_refused_whole_by_name(
    client: Client, stream: Stream, batch_id: str, part: int, source: str, submitter: str, field: str
) -> None:
    labels = [Label("t", LabelValue.FRAUD, stream.now_us)]
    with pytest.raises(InvalidInput) as caught:
        client.submit_labels(batch_id, part, source, submitter, labels)
    assert caught.value.field == field


def test_batches_are_listed_with_their_counts(client: Client, stream: Stream) -> None:
    wire = stream.next()
    client.score(wire)
    client.submit_labels(
        "b-list", 0, "analyst", "ann", [Label(wire.transaction_id, LabelValue.LEGITIMATE, START_US)]
    )
    (batch,) = client.list_batches(source="analyst").batches
    assert (batch.batch_id, batch.submitter, batch.frauds, batch.legitimates) == ("b-list", "ann", 0, 1)


def test_outcomes_are_taken_and_wrong_ones_named(client: Client, stream: Stream) -> None:
    wire = stream.next()
    client.score(wire)
    reply = client.report_outcomes(
        [
            OutcomeReport(wire.transaction_id, PaymentOutcome.COMPLETED, stream.now_us),
            OutcomeReport("unknown", PaymentOutcome.REFUNDED, stream.now_us),
            OutcomeReport(wire.transaction_id, PaymentOutcome.UNSPECIFIED, stream.now_us),
        ]
    )
    assert (reply.accepted, reply.waiting, reply.refused[0].field) == (1, 1, "outcome")


def test_health_and_reflection_are_there(process: Process) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(process.target) as channel:
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {"fraud.v1.ScoringService", "fraud.v1.LabelService", "fraud.v1.ModelService"} <= set(services)
    with process.client() as client:
        client.wait_ready(START_S)


def code_of(channel: grpc.Channel, path: str) -> grpc.StatusCode:
    """The status of a call with an empty message."""
    call: Any = channel.unary_unary(path)
    code: grpc.StatusCode = call.future(b"", timeout=START_S).code()
    return code


@pytest.mark.parametrize("file", [scoring_pb2, labels_pb2, models_pb2])
def test_every_rpc_of_the_interface_is_served(process: Process, file: ModuleType) -> None:
    unknown = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL}
    with grpc.insecure_channel(process.target) as channel:
        codes = {
            method.full_name: code_of(channel, f"/{service.full_name}/{method.name}")
            for service in file.DESCRIPTOR.services_by_name.values()
            for method in service.methods
        }
    assert not [name for name, code in codes.items() if code in unknown]


def test_a_client_without_an_answer_fails_open_or_closed_as_told() -> None:
    wire = Stream().next()
    with Client("127.0.0.1:1", deadline_s=0.2, on_failure="REVIEW") as closed:
        decision = closed.score(wire)
        assert (decision.outcome, list(decision.limits)) == (scoring_pb2.REVIEW, ["NO_ANSWER"])
    with Client("127.0.0.1:1", deadline_s=0.2) as strict, pytest.raises(Unavailable):
        strict.score(wire)


def test_a_retrain_without_a_name_or_reason_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInput, match="actor"):
        client.trigger_retrain("card", "because", "")
    with pytest.raises(InvalidInput, match="reason"):
        client.trigger_retrain("card", "", "ann")
    with pytest.raises(InvalidInput, match="send one of: card, transfer"):
        client.trigger_retrain("loan", "because", "ann")
    seq = client.trigger_retrain("", "because", "ann")
    assert client.get_retrain(seq).state == client.get_retrain(seq).WAITING


def test_a_second_scorer_on_the_same_folder_refuses_to_start(process: Process, tmp_path: Path) -> None:
    del tmp_path
    import subprocess
    import sys

    from tests.serving.worlds import SERVE

    arguments = process.child.args
    assert isinstance(arguments, list)
    second = subprocess.run(
        [sys.executable, "-c", SERVE, str(arguments[-1])], capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    assert "DataFolderLocked" in second.stderr


@pytest.mark.parametrize(("factor", "unit"), [(1, "seconds"), (1_000, "milliseconds")])
def test_times_in_another_unit_are_refused_and_the_unit_named(
    client: Client, stream: Stream, factor: int, unit: str
) -> None:
    wire = stream.next()
    client.score(wire)
    reported = OutcomeReport(wire.transaction_id, PaymentOutcome.COMPLETED, START_US // 10**6 * factor)
    (refused,) = client.report_outcomes([reported]).refused
    assert refused.field == "outcome_time_us"
    assert "is before 2000; send microseconds since 1970 UTC: this looks like " + unit in refused.reason
    wire.event_time_us = START_US // 10**6 * factor
    with pytest.raises(InvalidInput, match=f"event_time_us: {wire.event_time_us} is before 2000; .* {unit}"):
        client.score(wire)


def test_a_far_future_time_is_refused_under_either_clock(
    client: Client, stream: Stream, tmp_path: Path
) -> None:
    wire = stream.next()
    wire.event_time_us = 5_000_000_000_000_000
    with pytest.raises(InvalidInput, match=r"event_time_us: lies \d+ s in the future"):
        client.score(wire)
    with serving(tmp_path, FRAUD__SERVICE__CLOCK="wall") as process, process.client() as wall:
        wire.event_time_us = time.time_ns() // 1_000 + 3_600_000_000
        with pytest.raises(InvalidInput, match=r"at most 300 s ahead \(schema.future_tolerance\)"):
            wall.score(wire)
