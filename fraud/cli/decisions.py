"""`fraud decisions` and `fraud decision`: the queue of analysts, and one decision with its reasons."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.looking_back import look_back
from fraud.cli.paging import first_of_pages
from fraud.cli.score import document_of
from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time, parse_past_us
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.client.scoring import OutcomeName
    from fraud.v1.scoring_pb2 import Decision, KnownLabel

_OUTCOMES: dict[str, "OutcomeName"] = {
    "APPROVE": "APPROVE",
    "CHALLENGE": "CHALLENGE",
    "REVIEW": "REVIEW",
    "DECLINE": "DECLINE",
}
_LABEL_COLUMNS = ["label", "of", "arrived", "source", "submitter", "batch", ""]
_COLUMNS = ["transaction", "arrived", "outcome", "amount", "risk", "version or rule", "limits"]


def decisions(
    ctx: typer.Context,
    outcome: Annotated[
        list[str] | None, typer.Option(help="REVIEW, DECLINE, CHALLENGE or APPROVE; default: REVIEW.")
    ] = None,
    since: Annotated[str, typer.Option(help="Only those since a moment, or in so long a time.")] = "1d",
    model: Annotated[str, typer.Option(help="Only of this model.")] = "",
    rows_max: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """List decisions that are still in the log (log.idempotency_horizon), oldest first."""
    shell = shell_of(ctx)
    wanted = [_outcome(each) for each in outcome or ["REVIEW"]]
    since_us = parse_past_us(since, "--since", shell.now_us)
    found, more = look_back(
        shell,
        target,
        lambda reader: first_of_pages(
            lambda token: reader.list_decisions(wanted, since_us, model=model, page_token=token),
            lambda page: ([_document(each) for each in page.decisions], page.next_page_token),
            rows_max,
        ),
    )
    if more:
        shell.note(f"there are more than {rows_max}; the oldest are shown: narrow with --since or --model")
    rows = [
        (
            each["transaction_id"],
            each["arrived"],
            each["outcome"],
            f"{each['amount_minor']} {each['currency']} minor",
            each["risk_score"],
            each["rule"] or each["version"] or None,
            ", ".join(each["limits"]) or None,
        )
        for each in found
    ]
    shell.show({"decisions": found, "more": more}, table("Decisions", _COLUMNS, rows))


def decision(
    ctx: typer.Context,
    transaction_id: Annotated[str, typer.Argument(help="The transaction; the log or the archive has it.")],
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Show what was decided on one transaction, why, whose it was, and what labels said of it since."""
    shell = shell_of(ctx)
    reply = look_back(shell, target, lambda reader: reader.get_decision_with_facts(transaction_id))
    decided = _document(reply.decision)
    found = decided | {
        "entities": {each.entity: each.surrogate for each in reply.entities},
        "labels": [_label(each) for each in reply.labels],
    }
    facts = [(name, value) for name, value in decided.items() if name != "reasons" and value not in ("", [])]
    facts += [(f"{name}, by number", number) for name, number in found["entities"].items()]
    reasons = [
        (each["text"] or each["code"], each["feature"] or None, f"{each['contribution']:+.3f}")
        for each in found["reasons"]
    ]
    shown = [(name, ", ".join(value) if isinstance(value, list) else value) for name, value in facts]
    shell.show(
        found,
        table(f"Decision on {transaction_id}", ["", ""], shown),
        table("Reasons, by what they add to the log-odds", ["reason", "feature", "adds"], reasons),
        table("Labels, as they came in", _LABEL_COLUMNS, [_label_row(each) for each in found["labels"]]),
    )


def _outcome(text: str) -> "OutcomeName":
    found = _OUTCOMES.get(text.upper())
    if found is None:
        raise InvalidInput("--outcome", f"{text!r} is none", f"name any of {', '.join(_OUTCOMES)}")
    return found


def _label(each: "KnownLabel") -> dict[str, Any]:
    return {
        "value": each.value,
        "label_time": format_time(each.label_time_us),
        "arrived": format_time(each.arrival_time_us),
        "source": each.source,
        "submitter": each.submitter,
        "batch_id": each.batch_id,
        "retracted": each.retracted,
    }


def _label_row(each: dict[str, Any]) -> list[object]:
    *values, retracted = each.values()
    return [*values, "retracted" if retracted else ""]


def _document(found: "Decision") -> dict[str, Any]:
    return document_of(found) | {
        "model": found.model,
        "event_time": format_time(found.event_time_us),
        "arrived": format_time(found.arrival_time_us),
        "amount_minor": found.amount_minor,
        "currency": found.currency,
    }
