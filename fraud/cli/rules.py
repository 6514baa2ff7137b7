"""`fraud rules`: what people know, beside what the model has learned.

`test` tries a file of rules on the archive, `set` puts it in force, `show` says what is. All work on
the data folder, with or without a service on it; a running one follows within `server.ledger_poll`.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.rule_file import read_rules
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, service_now_us
from fraud.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from fraud.policy.rule_trial import Trial, TrialLine
    from fraud.registry.rules import RulesEntry

app = typer.Typer(no_args_is_help=True, help="Rules beside the models: try them, set them, show them.")

_File = Annotated[Path, typer.Argument(help="TOML, a table `rule` for each.")]
_Model = Annotated[str, typer.Option(help="Whose payments they decide.")]
_TRIAL = ["rule", "rows", "share", "decides", "known frauds", "precision", "amount", "model alerted on"]


@app.command("set")
def set_(
    ctx: typer.Context,
    file: _File,
    model: _Model,
    reason: Annotated[str, typer.Option(help="Stands in the ledger.")],
    actor: Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")] = None,
) -> None:
    """Set a model's rules, all of them; an empty file takes them away."""
    from fraud.registry.rules import RULES_SET, rules_of
    from fraud.registry.store import LedgerStore

    shell = shell_of(ctx)
    _check_model(shell, model)
    if not reason.strip():
        raise InvalidInput("--reason", "is empty", "say why; it stands in the ledger")
    rules = read_rules(file, shell.settings)
    with closing(LedgerStore.open(shell.settings.places.ledger, create=False)) as ledger:
        former = rules_of(ledger.state(), model)
        if (former.rules.digest if former is not None else "") != rules.digest:
            body = {"model": model, "rules": [rule.to_dict() for rule in rules.rules]}
            ledger.append(
                RULES_SET,
                body,
                actor=shell.local_signer(actor),
                reason=reason,
                time_us=service_now_us(shell.settings),
            )
        else:
            shell.note("these rules are set already; nothing changed")
        _show(shell, {model: rules_of(ledger.state(), model)})


@app.command("show")
def show(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="Only this one's.")] = "",
) -> None:
    """Show the rules of each model, in the order they are asked, and who set them."""
    from fraud.registry.rules import rules_of
    from fraud.registry.store import LedgerStore

    shell = shell_of(ctx)
    if model:
        _check_model(shell, model)
    with closing(LedgerStore.open(shell.settings.places.ledger, writable=False)) as ledger:
        state = ledger.state()
    _show(shell, {name: rules_of(state, name) for name in ([model] if model else shell.settings.models)})


@app.command("test")
def try_(
    ctx: typer.Context,
    file: _File,
    model: _Model,
    since: Annotated[str, typer.Option(help="How far back from the newest archived payment.")] = "30d",
) -> None:
    """Say what rules would have done to archived payments; nothing is set."""
    from fraud.registry.store import LedgerStore
    from fraud.retrainer.rule_trials import try_rules
    from fraud.settings.durations import parse_duration_us

    shell = shell_of(ctx)
    _check_model(shell, model)
    rules = read_rules(file, shell.settings)
    try:
        span_us = parse_duration_us(since)
    except ValueError as error:
        raise InvalidInput("--since", str(error), "write it like 30d") from None
    with closing(LedgerStore.open(shell.settings.places.ledger, writable=False)) as ledger:
        state = ledger.state()
    past = try_rules(shell.settings, state, model, rules, span_us)
    found = past.trial
    lines = [*found.lines, found.whole]
    document = {
        "model": model,
        "since": format_time(past.since_us),
        "until": format_time(past.until_us),
        "rows": found.rows,
        "frauds": found.frauds,
        "rules": [_line_document(line, found) for line in found.lines],
        "whole": _line_document(found.whole, found),
    }
    title = (
        f"{found.rows:,} payments of {model!r} with {found.frauds:,} known frauds, "
        f"{format_time(past.since_us)} to {format_time(past.until_us)}"
    )
    shell.show(document, table(title, _TRIAL, [_line_row(line, found) for line in lines]))
    if past.unknown:
        shell.note(f"of {past.unknown:,} payments the model's own outcome is not known; they count as none")


def _check_model(shell: Shell, model: str) -> None:
    models = shell.settings.models
    if model not in models:
        raise NotFound(f"no model {model!r}; the configuration has {', '.join(models)}")


def _show(shell: Shell, entries: "dict[str, RulesEntry | None]") -> None:
    documents = [_document(model, entry) for model, entry in entries.items()]
    tables = []
    for each in documents:
        title = f"Rules of {each['model']}"
        if each["ledger_seq"]:
            title += f", set {each['time']} by {each['actor']}: {each['reason']}"
        columns = ["rule", "stage", "when", "outcome", "text"]
        rows = [[rule["name"], *(rule[name] for name in columns[1:])] for rule in each["rules"]]
        tables.append(table(title, columns, rows) if rows else f"{title}: none")
    shell.show({"rules": documents}, *tables)


def _document(model: str, entry: "RulesEntry | None") -> dict[str, Any]:
    if entry is None:
        return {"model": model, "rules": [], "digest": "", "ledger_seq": 0}
    ordered = sorted(entry.rules.rules, key=lambda rule: rule.stage == "after")
    return {
        "model": model,
        "rules": [rule.to_dict() for rule in ordered],
        "digest": entry.rules.digest,
        "ledger_seq": entry.seq,
        "time": format_time(entry.time_us),
        "actor": entry.actor,
        "reason": entry.reason,
    }


def _line_document(line: "TrialLine", found: "Trial") -> dict[str, Any]:
    return {
        "name": line.name,
        "rows": line.rows,
        "share": line.rows / found.rows,
        "decides": line.decides,
        "judged": line.judged,
        "frauds": line.frauds,
        "precision": line.precision,
        "amount_minor": line.amount_minor,
        "alerted": line.alerted,
    }


def _line_row(line: "TrialLine", found: "Trial") -> list[str | None]:
    return [
        line.name or "all together",
        f"{line.rows:,}",
        f"{line.rows / found.rows:.2%}",
        f"{line.decides:,}",
        f"{line.frauds:,} of {line.judged:,}",
        None if line.precision is None else f"{line.precision:.1%}",
        f"{line.amount_minor / 100:,.2f}",
        f"{line.alerted:,}",
    ]
