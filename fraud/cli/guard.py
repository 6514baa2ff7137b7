"""`fraud guard`: what the guard finds in the data now, and whether it would freeze a retrain."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import shell_of, table
from fraud.errors import NotFound

if TYPE_CHECKING:
    from fraud.retrainer.guarding import Judgement

_COLUMNS = ["model", "check", "subject", "value", "bound", "action", "reason"]


def guard(
    ctx: typer.Context,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; default: all.")] = None,
) -> None:
    """Archive what is new, and judge the data as before a retrain; exit status 1 when it would freeze one."""
    from fraud.retrainer.daemon import judge_now

    shell = shell_of(ctx)
    settings = shell.settings
    unknown = [name for name in model or [] if name not in settings.models]
    if unknown:
        raise NotFound(f"no model {', '.join(unknown)}; the configuration has {', '.join(settings.models)}")
    judgements = judge_now(settings, model or list(settings.models))
    rows = [row for judgement in judgements for row in _rows(judgement)]
    shell.show(
        {"judgements": [judgement.to_dict() for judgement in judgements]},
        table("Findings", _COLUMNS, rows) if rows else "the guard finds nothing",
    )
    if any(judgement.ruling.frozen for judgement in judgements):
        raise typer.Exit(1)


def _rows(judgement: "Judgement") -> list[tuple[Any, ...]]:
    return [
        (judgement.model, it.check, it.subject, f"{it.value:.4g}", f"{it.bound:.4g}", it.action, it.reason)
        for it in judgement.ruling.findings
    ]
