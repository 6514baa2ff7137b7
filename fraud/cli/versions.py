"""`fraud versions` and `fraud show VERSION`: what was trained, and what the gate said."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fraud.cli.curve import curve_table
from fraud.cli.looking_back import look_back
from fraud.cli.paging import rows_of_pages
from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time

if TYPE_CHECKING:
    from fraud.v1.models_pb2 import Version

_SHOWN_MAX = 300
_COLUMNS = ["version", "model", "recipe", "parent", "created", "status", "verdict", "tainted_by"]


def versions(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="Only this model; default: all.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """List versions, newest first."""
    shell = shell_of(ctx)
    found = look_back(
        shell,
        target,
        lambda reader: rows_of_pages(
            lambda token: reader.list_versions(model, page_token=token),
            lambda page: ([_document(each) for each in page.versions], page.next_page_token),
            limit,
        ),
    )
    rows = [_row(each) for each in found]
    shell.show({"versions": found}, table("Versions", [*_COLUMNS[:-1], "tainted by"], rows))


def show(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="e.g. card-7")],
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Show one version: where it comes from, and each verdict with a row per check."""
    shell = shell_of(ctx)
    response = look_back(shell, target, lambda reader: reader.get_version(version))
    document = _document(response.version)
    manifest = json.loads(response.manifest_json or "{}")
    verdicts = [json.loads(text) for text in response.verdicts_json]
    shown = document | {"status": _status(document)}
    apart = ("tainted_by", "awaiting_approval")
    facts = [(name, value) for name, value in shown.items() if value and name not in apart]
    facts += [("tainted by", text)] if (text := taint(document["tainted_by"])) else []
    tables = [
        table(f"Version {version}", ["", ""], facts),
        table("Manifest", ["", ""], [(name, _short(value)) for name, value in manifest.items()]),
        *([curve] if (curve := curve_table(manifest)) else []),
        *(_verdict(verdict) for verdict in verdicts),
    ]
    shell.show({"version": document, "manifest": manifest, "verdicts": verdicts}, *tables)


def taint(exclusions: Sequence[int]) -> str | None:
    """Say which exclusions taint a version, None for none."""
    return f"exclusion {', '.join(map(str, exclusions))}" if exclusions else None


def _document(version: "Version") -> dict[str, Any]:
    return {
        "version": version.version,
        "model": version.model,
        "recipe": version.recipe,
        "digest": version.digest,
        "parent": version.parent,
        "created": format_time(version.created_us),
        "status": version.status,
        "verdict": version.verdict,
        "tainted_by": list(version.tainted_by),
        "awaiting_approval": version.awaiting_approval,
        "shadow": version.shadow,
        "probation_until": format_time(version.probation_until_us) if version.probation_until_us else "",
        "probation": version.probation,
    }


def _status(version: dict[str, Any]) -> str:
    if version["awaiting_approval"]:
        return "awaiting approval"
    status = str(version["status"])
    if version["probation_until"]:
        status += ", on probation"
    return f"{status}, in shadow" if version["shadow"] else status


def _row(version: dict[str, Any]) -> list[str | None]:
    shown = version | {"status": _status(version)}
    return [*(shown[name] or None for name in _COLUMNS[:-1]), taint(version["tainted_by"])]


def _verdict(report: dict[str, Any]) -> Table:
    """A table of the gate's report: a row per check; one without "passed" decides nothing."""
    way = f" by {report['way']}" if report.get("way") else ""
    rows = [
        (
            check["name"],
            _number(check["value"]),
            _number(check["bound"]),
            None if check["low"] is None else f"{_number(check['low'])} … {_number(check['high'])}",
            {True: "yes", False: "no", None: None}[check["passed"]],
            check["reason"],
        )
        for check in report["checks"]
    ]
    title = f"Verdict: {report['outcome']}{way}. {report['reason']}"
    return table(title, ["check", "value", "bound", "interval", "passed", "reason"], rows)


def _number(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _SHOWN_MAX:
        return text
    size = f"{len(value)} entries" if isinstance(value, list | dict) else f"{len(text)} characters"
    return f"{size}; --output json shows them"
