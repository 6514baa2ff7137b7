"""`fraud redteam`: attacks a version with what fraudsters control, and writes a page on what gets through.

It works on the data folder, with or without a service running on it; nothing is changed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import file_for, shell_of, table
from fraud.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from fraud.report.redteam_page import RedTeam
    from fraud.settings import Settings


def redteam(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="May be left out when there is one.")] = "",
    version: Annotated[str, typer.Option(help="e.g. card-7; default: the champion.")] = "",
    budget: Annotated[
        int | None, typer.Option(min=1, help="Payments tried on a card; default: attacks.queries.")
    ] = None,
    frauds: Annotated[
        int | None, typer.Option(min=10, help="Frauds attacked at most; default: attacks.frauds.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File; default: named like the version.")] = None,
) -> None:
    """Attack a version with recent frauds: what gets through, at which cost, and could a retrain catch it.

    Frauds that it learned from are left out, where enough others are known.
    """
    shell = shell_of(ctx)
    from fraud.report.page import require_report_extra

    require_report_extra()
    from fraud.report.folder import Folder
    from fraud.report.redteam_page import RESERVATION, read_redteam, render_redteam

    settings = _asked(shell.settings, budget, frauds)
    folder = Folder.open(settings)
    model, version = _which(folder.state, settings, model, version)
    path = file_for(out or Path(f"redteam-{version}.html"))
    with shell.progress() as bar:
        task = bar.add_task("attacking", total=None)
        made = read_redteam(
            folder,
            model,
            version,
            settings,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    path.write_text(render_redteam(made), encoding="utf-8")
    document = _document(made)
    columns = (
        "cost up to",
        "knows the trees",
        "accept or decline",
        "the better of both",
        "a retrain could catch",
        "no retrain can",
    )
    rows = [[f"{each:.0%}" for each in row.values()] for row in document["curve"]]
    told = f"{document['stopped']} of {document['frauds']} frauds are stopped as they are; wrote {path}"
    beside = [RESERVATION] if made.learned else []
    shell.show(
        {"report": str(path), **document}, table(f"Evasion of {version}", columns, rows), told, *beside
    )


def _asked(settings: "Settings", budget: int | None, frauds: int | None) -> "Settings":
    update = {"queries": budget, "frauds": frauds}
    given = {name: value for name, value in update.items() if value is not None}
    return settings.model_copy(update={"attacks": settings.attacks.model_copy(update=given)})


def _which(state: Any, settings: "Settings", model: str, version: str) -> tuple[str, str]:
    """Return model and version, where one of them is enough."""
    if version:
        found = state.version(version).model
        if model and model != found:
            raise InvalidInput("--model", f"{version} is of model {found!r}", "leave one of them out")
        return found, version
    if not model and len(settings.models) == 1:
        (model,) = settings.models
    if model not in settings.models:
        allowed = ", ".join(settings.models)
        raise InvalidInput("--model", f"{model!r} is not in the configuration", f"name one of: {allowed}")
    champion = state.champion(model)
    if not champion:
        raise NotFound(f"model {model!r} has no champion yet; name a version with --version")
    return model, champion


def _document(made: "RedTeam") -> dict[str, Any]:
    summary = made.summary
    caught, lost = made.part(recoverable=True), made.part(recoverable=False)
    return {
        "version": made.rival.state.version,
        "frauds": summary.frauds,
        "stopped": summary.stopped,
        "learned": made.learned,
        "profit": {
            "white_box": summary.white_profit,
            "black_box": summary.black_profit,
            "best": summary.best_profit,
        },
        "tries_until_accepted": None if summary.first != summary.first else summary.first,
        "curve": [
            {
                "cost": white.cost,
                "white_box": white.share,
                "black_box": black.share,
                "best": best.share,
                "recoverable": with_.share,
                "unrecoverable": without.share,
            }
            for white, black, best, with_, without in zip(
                summary.white, summary.black, summary.best, caught, lost, strict=True
            )
        ],
    }
