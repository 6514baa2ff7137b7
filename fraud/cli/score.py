"""`fraud score`: sends transactions to the server and shows its decisions."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Shell, shell_of, table
from fraud.documents import read_bounded, read_json
from fraud.errors import InvalidInput
from fraud.records import Outcome

if TYPE_CHECKING:
    from fraud.v1.scoring_pb2 import Decision, ScoreResult
    from fraud.v1.transaction_pb2 import Transaction

_COLUMNS = ["transaction", "outcome", "score", "risk", "version", "limits", "reasons"]

FILE_BYTES_MAX = 256 * 2**20
"""Of a file of transactions, which is held at once."""


def score(
    ctx: typer.Context,
    transactions: Annotated[str, typer.Argument(help="A file of JSON lines, or one transaction as JSON.")],
    reasons: Annotated[bool, typer.Option(help="Ask for the reasons of every decision.")] = False,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Score transactions; fields are those of fraud.v1.Transaction."""
    shell = shell_of(ctx)
    messages = [_message(row, where) for row, where in _read(transactions)]
    rows_max = shell.settings.server.batch_rows_max
    results: list[ScoreResult] = []
    with shell.client(target) as client, shell.progress() as progress:
        task = progress.add_task("transactions", total=len(messages))
        for start in range(0, len(messages), rows_max):
            part = messages[start : start + rows_max]
            results += client.score_batch(part, with_reasons=reasons)
            progress.advance(task, len(part))
    decisions = [
        _document(each.transaction_id, result) for each, result in zip(messages, results, strict=True)
    ]
    _show(shell, decisions)
    if any("error" in each for each in decisions):
        raise typer.Exit(1)


def _read(transactions: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each transaction with its place."""
    if transactions.lstrip().startswith("{"):
        yield _parse(transactions, "the transaction"), "the transaction"
        return
    path = Path(transactions)
    try:
        lines = read_bounded(path, FILE_BYTES_MAX).decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidInput(transactions, f"cannot be read: {error}", "give a file or a JSON object") from None
    places = [(line, f"{path} line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not places:
        raise InvalidInput(transactions, "holds no transactions", "give a file with at least one line")
    for line, where in places:
        yield _parse(line, where), where


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        row = read_json(text)
    except ValueError as error:
        raise InvalidInput(where, f"is not JSON ({error})", "write one object a line") from None
    if not isinstance(row, dict):
        raise InvalidInput(where, "is not a JSON object", "write one object a line")
    return row


def _message(row: dict[str, Any], where: str) -> "Transaction":
    """The wire message; made for every row before any is sent, so that a broken file sends nothing."""
    from fraud.client import to_message

    try:
        return to_message(row)
    except InvalidInput as error:
        raise InvalidInput(where, f"{error.field}: {error.problem}", error.remedy, place=where) from None


def _document(transaction_id: str, result: "ScoreResult") -> dict[str, Any]:
    if result.HasField("error"):
        error = {"code": result.error.code, "field": result.error.field, "message": result.error.message}
        return {"transaction_id": transaction_id, "error": error}
    return document_of(result.decision)


def document_of(decision: "Decision") -> dict[str, Any]:
    """Return a decision as JSON values."""
    return {
        "transaction_id": decision.transaction_id,
        "outcome": Outcome(decision.outcome).name,
        "score": decision.score if decision.HasField("score") else None,
        "risk_score": decision.risk_score if decision.HasField("risk_score") else None,
        "version": decision.version,
        "policy_version": decision.policy_version,
        "rule": decision.rule,
        "explored": decision.explored,
        "propensity": decision.propensity,
        "limits": list(decision.limits),
        "reasons": [
            {"code": each.code, "feature": each.feature, "contribution": each.contribution, "text": each.text}
            for each in decision.reasons
        ],
    }


def _show(shell: Shell, decisions: list[dict[str, Any]]) -> None:
    shell.show(
        {"decisions": decisions}, table("Decisions", _COLUMNS, [tuple(_cells(each)) for each in decisions])
    )


def _cells(decision: dict[str, Any]) -> Iterator[object]:
    yield decision["transaction_id"]
    if "error" in decision:
        yield from ("refused", None, None, None, None, decision["error"]["message"])
        return
    yield decision["outcome"] + (" (explored)" if decision["explored"] else "")
    yield None if decision["score"] is None else f"{decision['score']:.4f}"
    yield decision["risk_score"]
    yield decision["version"] or None
    yield ", ".join(decision["limits"]) or None
    yield "\n".join(each["text"] or each["code"] for each in decision["reasons"]) or None
