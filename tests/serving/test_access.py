"""Who may do what, over TLS on a real server: roles by method, tokens good and bad, names that are kept."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import fraud.v1
from fraud.client import Client, Credentials
from fraud.errors import InvalidInput, NotFound, PermissionDenied, Unauthenticated, Unavailable
from fraud.records import Label, LabelValue
from fraud.serving.edge import SIGNATURES, signature_of
from fraud.serving.entrance import RULES
from fraud.settings.access import ROLES
from tests.serving.authority import NOW_US, Authority, Guarded
from tests.serving.registered import Ledger
from tests.serving.worlds import START_S, Process, Stream, serving
from tests.waiting import wait_until

S, A, O, U = "scorer", "analyst", "operator", "auditor"  # noqa: E741
EXPECTED = {
    "ScoringService": {
        "Score": {S},
        "ScoreBatch": {S},
        "GetDecision": {S, A, O, U},
        "ListDecisions": {A, O, U},
        "ReportOutcomes": {S},
    },
    "LabelService": {"SubmitLabels": {A}, "ListBatches": {A, O, U}, "RetractBatch": {A, O}},
    "ModelService": {
        "GetChampion": {A, O, U},
        "ListVersions": {A, O, U},
        "GetVersion": {A, O, U},
        "GetRetrain": {A, O, U},
        "GetHistory": {A, O, U},
        "GetLineage": {A, O, U},
        "ListExclusions": {A, O, U},
        "TriggerRetrain": {O},
        "Promote": {O},
        "Rollback": {O},
        "ExcludeData": {O},
        "UndoExclusion": {O},
        "EraseEntity": {O},
    },
    "PolicyService": {
        "SetRules": {O},
        "GetRules": {A, O, U},
        "SetListing": {A, O},
        "ListListings": {A, O, U},
    },
    "AccessService": {"WhoAmI": {S, A, O, U}, "ListAsked": {A, O, U}},
}
"""Said once more, by hand: what a table next to a servicer allows has to be wanted here, too."""


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every service in `proto/`."""
    for path in sorted(Path(fraud.v1.__file__).parent.glob("*_pb2.py")):
        module = import_module(f"fraud.v1.{path.stem}")
        for service in module.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def test_every_method_of_every_service_has_a_rule_and_no_rule_lacks_its_method() -> None:
    declared = {(method.containing_service.full_name, method.name) for method in methods()}
    ruled = {(service, name) for service, table in RULES.items() for name in table}
    assert declared, "no proto file was found"
    assert declared == {pair for pair in ruled if pair[0].startswith("fraud.v1.")}
    wanted = {(f"fraud.v1.{service}", name) for service, table in EXPECTED.items() for name in table}
    assert declared == wanted


def test_rows_that_count_against_a_rate_are_fields_of_the_request() -> None:
    for method in methods():
        rows = RULES[method.containing_service.full_name][method.name].rows
        assert not rows or rows in method.input_type.fields_by_name, method.full_name


def test_every_request_that_says_who_makes_it_is_signed() -> None:
    signing = {method.name for method in methods() if signature_of(GetMessageClass(method.input_type))}
    assert signing == {
        "SubmitLabels", "RetractBatch", "TriggerRetrain", "Promote", "Rollback", "ExcludeData",
        "UndoExclusion", "EraseEntity", "SetRules", "SetListing",
    }  # fmt: skip
    assert SIGNATURES == ("actor", "submitter")


CUTS = {"MEDIUM": 300, "HIGH": 500, "VERY_HIGH": 700}
"""The small bundle of the tests gives low risk scores."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    guarded = Guarded(tmp_path_factory.mktemp("access"))
    for role in ROLES:
        guarded.add(role if role != "scorer" else "shop", role)
    guarded.tokens["scorer"] = guarded.tokens["shop"]
    guarded.add("pricing", "scorer", "raw_scores")
    guarded.add("late", "operator", expires_us=NOW_US + 1)
    guarded.desk.revoke(guarded.add("gone", "operator"), now_us=NOW_US)
    return guarded


@pytest.fixture(scope="module")
def process(guarded: Guarded) -> Iterator[Process]:
    bands = {f"FRAUD__SERVER__BANDS__{name}": str(cut) for name, cut in CUTS.items()}
    with serving(guarded.folder, **guarded.environment(**bands)) as process:
        guarded.as_(process, "operator").wait_ready(START_S)
        yield process


def call(client: Client, method: MethodDescriptor) -> grpc.StatusCode:
    """Call a method with an empty request and return how it ended."""
    request: type[Message] = GetMessageClass(method.input_type)
    reply: type[Message] = GetMessageClass(method.output_type)
    path = f"{method.containing_service.full_name}/{method.name}"
    try:
        client._raw(path, reply)(request(), timeout=START_S, metadata=client._metadata)
    except grpc.RpcError as error:
        code: Any = error
        return code.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_call_its_methods_and_no_other(process: Process, guarded: Guarded, role: str) -> None:
    with guarded.as_(process, role) as client:
        for method in methods():
            wanted = role in EXPECTED[method.containing_service.name][method.name]
            refused = call(client, method) in (
                grpc.StatusCode.PERMISSION_DENIED,
                grpc.StatusCode.UNAUTHENTICATED,
            )
            assert refused != wanted, f"{role} calls {method.full_name}"


def test_without_a_token_health_is_open_and_nothing_else(process: Process, guarded: Guarded) -> None:
    with guarded.client(process) as client:
        client.wait_ready(START_S)
        for method in methods():
            assert call(client, method) is grpc.StatusCode.UNAUTHENTICATED, method.full_name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), "not known here"),
        (lambda token: token.replace("fraud_", "fraud_0"), "not known here"),
        (lambda token: token.removeprefix("fraud_"), "not known here"),
        (lambda _: "", "no token and no certificate"),
        (lambda token: token[:20], "not known here"),
        (lambda _: "fraud__", "not known here"),
    ],
)
def test_a_wrong_token_is_refused_whatever_is_wrong_with_it(
    process: Process, guarded: Guarded, change: Any, message: str
) -> None:
    with (
        guarded.client(process, change(guarded.tokens["operator"])) as client,
        pytest.raises(Unauthenticated, match=message),
    ):
        client.who_am_i()


@pytest.mark.parametrize(("name", "standing"), [("late", "expired"), ("gone", "revoked")])
def test_an_expired_or_revoked_token_is_refused_and_its_holder_told(
    process: Process, guarded: Guarded, name: str, standing: str
) -> None:
    with (
        guarded.as_(process, name) as client,
        pytest.raises(Unauthenticated, match=f"of {name}: {standing} at .*fraud token add {name} --role"),
    ):
        client.who_am_i()


def test_a_payment_shown_with_an_ended_token_is_decided_as_the_caller_was_told_to(
    process: Process, guarded: Guarded
) -> None:
    with guarded.as_(process, "late") as client:
        with pytest.raises(Unauthenticated):
            client.score(Stream().next())
        client._on_failure = "REVIEW"
        assert list(client.score(Stream().next()).limits) == ["NO_ANSWER"]


def test_another_scheme_than_bearer_is_refused(process: Process, guarded: Guarded) -> None:
    with guarded.client(process) as client:
        client._metadata = (("authorization", f"Basic {guarded.tokens['operator']}"),)
        with pytest.raises(Unauthenticated, match="no bearer token"):
            client.who_am_i()


def test_a_refusal_names_the_role_that_is_missing(process: Process, guarded: Guarded) -> None:
    with (
        guarded.as_(process, "auditor") as client,
        pytest.raises(PermissionDenied, match=r"auditor \(auditor\) may not call .*Promote; .*operator"),
    ):
        client.promote("card-1", actor="", reason="mine")


def test_only_who_is_signed_by_the_authority_is_believed_to_be_the_server(
    process: Process, guarded: Guarded
) -> None:
    with (
        guarded.client(process, guarded.tokens["operator"], ca=Authority("other").ca) as client,
        pytest.raises(Unavailable),
    ):
        client.who_am_i()


def test_a_certificate_of_another_name_or_one_that_has_ended_is_no_server(
    process: Process, guarded: Guarded
) -> None:
    authority, token = guarded.authority, guarded.tokens["operator"]

    def answers() -> bool:
        with guarded.client(process, token) as client:
            try:
                return client.who_am_i().name == "operator"
            except Unavailable:
                return False

    assert answers()
    for bad in (
        authority.issue("fraud", alternative=["elsewhere.example"]),
        authority.issue("fraud", alternative=["localhost"], days=-1),
    ):
        guarded.place(bad)
        assert not answers()
    guarded.place(authority.issue("fraud", alternative=["localhost"]))
    assert answers()


def test_a_token_is_good_wherever_it_is_shown_unless_bound(process: Process, guarded: Guarded) -> None:
    """What TLS keeps secret is all that protects a bearer token: see `tokens_bound`."""
    for _ in range(2):
        with guarded.as_(process, "operator") as client:
            assert client.who_am_i().name == "operator"


def test_the_port_takes_nothing_in_clear(process: Process, guarded: Guarded) -> None:
    token = guarded.tokens["operator"]
    with (
        Client(process.target, deadline_s=5, retries=0, credentials=Credentials(token)) as client,
        pytest.raises(Unavailable),
    ):
        client.who_am_i()


def test_the_caller_hears_who_it_is(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "pricing") as client:
        reply = client.who_am_i()
    assert (reply.name, list(reply.roles), reply.raw_scores) == ("pricing", ["scorer"], True)
    with guarded.as_(process, "shop") as client:
        assert not client.who_am_i().raw_scores


def test_reflection_is_off(process: Process, guarded: Guarded) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    with guarded.as_(process, "operator") as client:
        listed = client._channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=client._metadata)
        with pytest.raises(grpc.RpcError) as caught:
            next(listed)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_what_is_asked_for_stands_in_the_ledger_under_the_identity(
    process: Process, guarded: Guarded
) -> None:
    with guarded.as_(process, "operator") as client:
        seq = client.trigger_retrain("card", "because", actor="")
        with pytest.raises(InvalidInput, match="actor: says 'jane', but operator calls"):
            client.trigger_retrain("card", "because", actor="jane")
        client.trigger_retrain("card", "because", actor="operator")
    entries = Ledger(guarded.folder).store.find([seq, seq + 1])
    assert [entries[it].actor for it in (seq, seq + 1)] == ["operator", "operator"]
    assert seq + 2 not in entries


def test_labels_are_handed_in_and_taken_back_under_the_identity(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "analyst") as client:
        labels = [Label("t-1", LabelValue.FRAUD, NOW_US)]
        client.submit_labels("mine", 0, "analyst", "", labels)
        with pytest.raises(InvalidInput, match="submitter: says 'bank', but analyst calls"):
            client.submit_labels("theirs", 0, "analyst", "bank", labels)
        client.retract_batch("mine", "", "a slip")
        (batch,) = client.list_batches().batches
    assert (batch.batch_id, batch.submitter, batch.retracted) == ("mine", "analyst", True)


def test_a_change_of_the_file_is_in_force_on_connections_that_stand(
    process: Process, guarded: Guarded
) -> None:
    id_ = guarded.add("guest", "auditor")
    with guarded.as_(process, "guest") as client:

        def refused() -> bool:
            try:
                client.who_am_i()
            except Unauthenticated:
                return True
            return False

        wait_until(lambda: not refused())
        guarded.desk.revoke(id_, now_us=NOW_US)
        wait_until(refused)
        new, token = guarded.desk.add("guest", ["analyst"], now_us=NOW_US, expires_us=0)
        client._metadata = (("authorization", f"Bearer {token}"),)
        wait_until(lambda: not refused())
        assert list(client.who_am_i().roles) == ["analyst"]
        kept = (guarded.folder / "identities.json").read_text(encoding="utf-8")
        (guarded.folder / "identities.json").write_text("{broken", encoding="utf-8")
        with guarded.as_(process, "operator") as operator:
            assert operator.who_am_i().name == "operator"
        assert new.id in kept
        (guarded.folder / "identities.json").write_text(kept, encoding="utf-8")


def test_who_has_no_right_to_scores_sees_bands_and_codes(process: Process, guarded: Guarded) -> None:
    stream = Stream(seed=31)
    ledger = Ledger(guarded.folder)
    ledger.register("card-1", upto=1)
    with guarded.as_(process, "operator") as operator, guarded.as_(process, "shop") as shop:
        ledger.promote(operator, "card-1")
        wires = stream.take(40)
        told = [result.decision for result in shop.score_batch(wires, with_reasons=True)]
        raw = [operator.get_decision(it.transaction_id) for it in told]
        again = [shop.get_decision(it.transaction_id) for it in told]
        facts, fewer = (it.get_decision_with_facts(told[0].transaction_id) for it in (operator, shop))
        assert facts.entities
        assert (fewer.decision, list(fewer.entities), list(fewer.labels)) == (again[0], [], [])
        one = shop.score(stream.next(), with_reasons=True)
        listed = list(operator.list_decisions().decisions)
    for seen, full, read in zip(told, raw, again, strict=True):
        assert seen.band == read.band != 0
        assert not any(it.HasField("score") or it.HasField("risk_score") for it in (seen, read))
        assert full.HasField("score")
        assert full.band == 0
        assert seen.band == 1 + sum(full.risk_score >= cut for cut in CUTS.values())
        assert (seen.outcome, seen.version) == (full.outcome, full.version)
        assert seen.propensity == 0.0 < full.propensity
        assert all(why.code and not (why.feature or why.text or why.contribution) for why in seen.reasons)
    assert any(it.reasons for it in told)
    assert len({it.band for it in told}) > 1
    assert one.band
    assert not one.HasField("score")
    assert {it.transaction_id for it in told} <= {it.transaction_id for it in listed}
    assert all(it.HasField("score") for it in listed if it.version)


def test_the_right_to_raw_scores_shows_them_to_a_scorer(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "pricing") as client:
        decision = client.score(Stream(seed=32).next())
    assert decision.band == 0
    assert decision.propensity == 1.0


def test_what_nobody_knows_stays_unknown_to_those_who_may_ask(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "auditor") as client, pytest.raises(NotFound):
        client.get_version("card-77")
