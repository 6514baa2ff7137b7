"""The screen of `fraud status`: a document as a few tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from fraud.cli.shell import table

_STYLES = {"page": "bold red", "ticket": "yellow", "notice": "cyan"}


def parts(document: Mapping[str, Any], *, alarms_first: bool = False) -> list[Table | str]:
    """Return what is printed, in order: alarms last, where the eye ends, or first, where none is cropped."""
    made: list[Table | str] = [f"Status at {document['at']}"]
    made += [f"! {it['why_not']}" for it in document["processes"].values() if it["why_not"]]
    made.append(_champions(document["models"]))
    made += _quality(document["models"])
    made.append(_traffic(document["models"]))
    if document["feeds"]:
        made.append(_feeds(document["feeds"]))
    made.append(_loop(document["loop"]))
    made.append(_reaction(document["reaction"]))
    made.append(_service(document["service"]))
    made.insert(1 if alarms_first else len(made), _alarms(document))
    return made


def _champions(models: list[dict[str, Any]]) -> Table:
    columns = ["model", "champion", "serves", "since", "trained", "probation until", "challengers", "tainted"]
    rows = [
        (
            each["model"],
            each["champion"] or "none",
            each["serves"],
            each["since"],
            each["trained"],
            each["on_probation_until"],
            ", ".join(each["challengers"]) or None,
            ", ".join(map(str, each["tainted_by"])) or None,
        )
        for each in models
    ]
    return table("Champion", columns, rows)


def _quality(models: list[dict[str, Any]]) -> Iterator[Table]:
    columns = [
        "window",
        "who",
        "frauds",
        "recall",
        "as answered",
        "precision",
        "value found",
        "AP",
        "lost value",
        "decay",
    ]
    for each in models:
        rows: list[tuple[Any, ...]] = []
        promised = each["promised"]
        if promised["recall"]:
            then = _figure(promised["average_precision"])
            gap = (None, None, None)
            recall = _figure(promised["recall"])
            rows.append(("at promotion", each["champion"], None, recall, *gap, then, None, None))
        for row in each["quality"]:
            decay = each["decay"][row["window"]] if row["subject"] == "champion" else None
            rows.append(
                (
                    row["window"],
                    row["subject"],
                    f"{row['frauds'] or 0:.0f}",
                    _figure(row["recall"]),
                    _point(row["answered_recall"]),
                    _point(row["precision"]),
                    _point(row["value_detection"]),
                    _figure(row["average_precision"]),
                    _point(row["value_fraud_ratio"], digits=4),
                    _figure(decay, sign="+"),
                )
            )
        if rows:
            yield table(f"Quality of {each['model']}, matured payments", columns, rows)


def _traffic(models: list[dict[str, Any]]) -> Table:
    columns = ["model", "rows", "alerts ÷ promised", "moved", "most moved", "probing", "estimated recall"]
    rows = []
    for each in models:
        seen = each["traffic"]
        moved = ", ".join(f"{count} {kind}" for kind, count in seen["findings"].items() if count)
        most = ", ".join(f"{name} {effect:.2f}" for name, effect in seen["most_moved"])
        holds = all(seen["estimate_holds"].values()) and bool(seen["estimate_holds"])
        estimate = seen["estimated_recall"]
        rows.append(
            (
                each["model"],
                None if seen["rows"] is None else f"{seen['rows']:,.0f}",
                _figure(seen["alert_ratio"]),
                moved or ("nothing" if seen["findings"] else None),
                most or None,
                _probing(seen["probing"]),
                None if estimate is None else f"{estimate:.2f}{'' if holds else ' (does not hold)'}",
            )
        )
    return table("Recent traffic, before labels", columns, rows)


def _probing(probing: list[dict[str, Any]]) -> str | None:
    found = [
        f"{it['entities']:.0f} {it['kind']} {it['pattern']} ({it['expected']:.1f} expected)"
        for it in probing
        if it["finding"]
    ]
    return ", ".join(found) or ("nobody" if probing else None)


def _feeds(feeds: list[dict[str, Any]]) -> Table:
    windows = sorted({window for each in feeds for window in each["observed"]})
    columns = [
        "model",
        "source",
        *(f"came ÷ due, {window}" for window in windows),
        "median delay",
        "last label",
    ]
    rows = [
        (
            each["model"],
            each["source"],
            *(_share(each["observed"].get(window)) for window in windows),
            None if each["median_delay_s"] is None else f"{each['median_delay_s'] / 86_400:.0f} d",
            each["last_label"],
        )
        for each in feeds
    ]
    return table("Label feeds", columns, rows)


def _loop(loop: list[dict[str, Any]]) -> Table:
    columns = [
        "model",
        "last retrain",
        "result",
        "took",
        "retrains",
        "verdicts",
        "promoted",
        "rolled back",
        "guard",
    ]
    rows = []
    for each in loop:
        last = each["last"] or {"at": None, "result": None, "seconds": 0}
        verdicts = ", ".join(f"{count} {verdict.lower()}" for verdict, count in each["verdicts"].items())
        guard = "frozen: " if each["frozen"] else ""
        rows.append(
            (
                each["model"],
                last["at"],
                "running" if each["running"] else last["result"],
                f"{last['seconds']:.0f} s" if last["seconds"] else None,
                ", ".join(f"{count} {result}" for result, count in each["retrains"].items() if count) or None,
                verdicts or None,
                each["promotions"],
                each["rollbacks"],
                guard + (", ".join(each["guard"]) or "nothing"),
            )
        )
    return table("Loop", columns, rows)


def _reaction(reaction: Mapping[str, Any]) -> Table:
    columns = ["last cycle", "ended", "why", "asked for now", "emergencies", "next from"]
    last = reaction["last"] or {"at": None, "ended": None, "why": None}
    asked = ", ".join(f"{trigger} ({model})" for model, trigger in reaction["asked_for"])
    emergencies = reaction["emergencies"]
    budget = f"{emergencies['used']} used, {emergencies['left']} left in {emergencies['within']}"
    row = (
        last["at"],
        last["ended"],
        last["why"],
        asked or "nothing",
        budget if emergencies["enabled"] else "off",
        emergencies["next_from"],
    )
    return table("Why it retrains", columns, [row])


def _service(service: Mapping[str, Any]) -> Table:
    columns = ["log position", "not archived", "queue", "labels waiting", "dropped", "disk free"]
    names = ("log_position", "archive_lag", "queue_rows", "labels_waiting", "dropped")
    cells = [None if service[name] is None else f"{service[name]:,.0f}" for name in names]
    restored = service["restored_share"]
    title = "Service" if restored in (None, 1) else f"Service: restoring its state, {restored:.0%} done"
    return table(title, columns, [(*cells, _share(service["disk_free_share"]))])


def _alarms(document: Mapping[str, Any]) -> Table:
    told = document["prometheus"]
    if told is not None:
        rows = [(it["severity"], it["name"], it["state"], it["text"]) for it in told]
        title = "Alerts of Prometheus" if rows else "Alerts of Prometheus: none"
        return _coloured(table(title, ["severity", "alert", "state", "what"], rows), [row[0] for row in rows])
    found = [(it["severity"], it["name"], it["text"]) for it in document["alarms"]]
    title = "Alarming now (deploy/runbook.md)" if found else "Alarming now: nothing"
    return _coloured(table(title, ["severity", "alert", "what"], found), [row[0] for row in found])


def _coloured(made: Table, severities: list[str]) -> Table:
    for row, severity in zip(made.rows, severities, strict=True):
        row.style = _STYLES.get(severity, "")
    return made


def _point(interval: list[float] | None, digits: int = 2) -> str | None:
    return None if interval is None else f"{interval[0]:.{digits}f}"


def _figure(interval: list[float] | None, sign: str = "") -> str | None:
    if interval is None:
        return None
    point, low, high = (f"{each:{sign}.2f}" for each in interval)
    return f"{point} [{low}, {high}]"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"
