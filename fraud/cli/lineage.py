"""`fraud lineage`: which versions a label batch went into, or what went into a version."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fraud.cli.looking_back import Reader, look_back
from fraud.cli.shell import shell_of, table
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.v1.models_pb2 import BatchUse, DecisionCounts, GetLineageResponse

_OUTCOMES = ("approved", "challenged", "reviewed", "declined")
_MANIFEST = ("recipe", "cut", "positions", "rows", "exclusions", "spec_fingerprint", "seed", "libraries")
_DEADLINE_S = 300.0


def lineage(
    ctx: typer.Context,
    batch: Annotated[str, typer.Option(help="Id of a label batch.")] = "",
    version: Annotated[str, typer.Option(help="e.g. card-7")] = "",
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Tell which versions learned from a batch and what they decided, or what went into a version."""
    shell = shell_of(ctx)
    if bool(batch) == bool(version):
        raise InvalidInput("--batch, --version", "must be given one or the other", "ask for one of them")

    def look(reader: Reader) -> "tuple[GetLineageResponse, dict[str, Any]]":
        reply = reader.get_lineage(batch_id=batch, version=version)
        return reply, json.loads(reader.get_version(version).manifest_json) if version else {}

    reply, manifest = look_back(shell, target, look, deadline_s=_DEADLINE_S)
    document: dict[str, Any] = {
        "uses": [_use(each) for each in reply.uses],
        "decisions": [_decisions(each) for each in reply.decisions],
    }
    if batch:
        shell.show({"batch_id": batch, **document}, _of_batch(batch, document))
        return
    document |= {
        "version": version,
        "ancestors": list(reply.ancestors),
        "tainted_by": list(reply.tainted_by),
        "manifest": manifest,
    }
    shell.show(document, _facts(version, manifest, reply), *_of_version(document))


def _use(use: "BatchUse") -> dict[str, Any]:
    return {
        "version": use.version,
        "batch_id": use.batch_id,
        "source": use.source,
        "submitter": use.submitter,
        "labels": use.labels,
        "frauds": use.frauds,
        "fed_features": use.fed_features,
        "digest": use.digest,
    }


def _decisions(counts: "DecisionCounts") -> dict[str, Any]:
    return {"version": counts.version, **{name: getattr(counts, name) for name in _OUTCOMES}}


def _of_batch(batch: str, document: dict[str, Any]) -> Table | str:
    uses = document["uses"]
    if not uses:
        return f"no version learned from batch {batch}"
    decided = {each["version"]: each for each in document["decisions"]}
    rows = [
        (
            use["version"],
            use["labels"],
            use["frauds"],
            _way(use),
            *(decided.get(use["version"], {}).get(name) for name in _OUTCOMES),
        )
        for use in uses
    ]
    title = f"Batch {batch}, {uses[0]['source']}, by {uses[0]['submitter']}: versions, and what they decided"
    return table(title, ["version", "labels", "frauds", "went in by", *_OUTCOMES], rows)


def _way(use: dict[str, Any]) -> str:
    """Say how a batch went into a version."""
    ways = ["labels"] * bool(use["labels"]) + ["features"] * use["fed_features"]
    return ", ".join(ways) or "the version it continues"


def _facts(version: str, manifest: dict[str, Any], reply: "GetLineageResponse") -> Table:
    rows: list[tuple[str, str]] = [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in ((name, manifest.get(name)) for name in _MANIFEST)
    ]
    rows.append(("continues", ", ".join(reply.ancestors) or "no other version"))
    tainted = ", ".join(f"exclusion {seq}" for seq in reply.tainted_by)
    rows.append(("tainted by", tainted or "nothing"))
    for counts in reply.decisions:
        decided = [f"{getattr(counts, name)} {name}" for name in _OUTCOMES if getattr(counts, name)]
        rows.append(("decisions", ", ".join(decided)))
    return table(f"What went into {version}", ["", ""], rows)


def _of_version(document: dict[str, Any]) -> list[Table | str]:
    learned = [use for use in document["uses"] if use["labels"]]
    rows = [
        (use["batch_id"], use["source"], use["submitter"], use["labels"], use["frauds"], _way(use))
        for use in learned
    ]
    columns = ["batch", "source", "submitter", "labels", "frauds", "went in by"]
    shown: list[Table | str] = [table("Label batches", columns, rows)]
    others = len(document["uses"]) - len(learned)
    if others:
        shown.append(f"and {others} more that may be in its features only; --output json lists them")
    return shown
