"""Says in words what an entry of the ledger did: one sentence for each kind, by `WORDS`.

Who did it and why stand beside it in the entry. Surrogates are the only names of entities that the ledger
has, and transaction ids are counted, not told.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fraud.errors import InvalidInput
from fraud.labels.exclusions import FOREVER_US, Exclusion
from fraud.registry.chain import LedgerEntry

Body = Mapping[str, Any]


def words_of(entry: LedgerEntry) -> str:
    """Return what an entry did, in words; its kind where this release has none for it.

    A fold looks at what it needs, so an entry may stand in the ledger and lack what is told here.
    """
    try:
        said = WORDS[entry.kind](entry.body)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput):
        said = entry.kind
    return f"{said} (asked for in entry {entry.body['asked']})" if entry.body.get("asked") else said


def models_of(entry: LedgerEntry) -> tuple[str, ...]:
    """Return the models that an entry is about; none: all."""
    body = entry.body
    if "models" in body:
        return tuple(body["models"])
    model = body.get("model") or ""
    return tuple(model.split(",")) if model else ()


def _counted(count: int, what: str) -> str:
    """Spell a number of things.

    >>> _counted(1, "bundle"), _counted(2, "bundle")
    ('1 bundle', '2 bundles')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _requested(body: Body) -> str:
    exclusion = body.get("exclusion")
    after = f", after exclusion {exclusion}" if exclusion else ""
    return f"retrain asked for, {body['trigger']}{after}{_overridden(body.get('guard_overrides'))}"


def _overridden(checks: Any) -> str:
    return f", passing over the guard's {', '.join(checks)}" if checks else ""


def _started(body: Body) -> str:
    trigger = body.get("trigger")
    why = f", started by {trigger}" if trigger and trigger != "request" else ""
    return f"retrain of {', '.join(body['models'])} began{why}"


def _finished(body: Body) -> str:
    said = [f"{it['version'] or it['model']} {it['verdict']}" for it in body["verdicts"]]
    return f"retrain ended: {', '.join(said) or 'no version'}"


def _failed(body: Body) -> str:
    return f"retrain was {'stopped' if body.get('stopped') else 'broken off'}: {body['error']}"


def _guarded(body: Body) -> str:
    found = _counted(len(body["findings"]), "finding") if body["findings"] else "nothing"
    frozen = ", and froze the retrain" if body["frozen"] else ""
    dropped = f", {_counted(len(body['dropped']), 'part')} left out" if body["dropped"] else ""
    return f"guard found {found}{frozen}{dropped}{_overridden(body.get('overridden'))}"


def _registered(body: Body) -> str:
    parent = f", continues {body['parent']}" if body["parent"] else ""
    return f"{body['version']} trained by recipe {body['recipe']}{parent}"


def _judged(body: Body) -> str:
    way = f" by {body['way']}" if body.get("way") else ""
    against = f" against {body['against']}" if body.get("against") else ""
    return f"verdict on {body['version']}{against}: {body['verdict']}{way}"


def _promoted(body: Body) -> str:
    override = f", by override: {body['overridden']}" if body.get("overridden") else ""
    probation = ", on probation" if body.get("probation_us") else ""
    return f"{body['version']} promoted in place of {body['expected'] or 'none'}{probation}{override}"


def _rolled_back(body: Body) -> str:
    muted = ", labels muted" if body.get("mute") else ""
    exclusion = f", for exclusion {body['exclusion']}" if body.get("exclusion") else ""
    return f"rolled back from {body['expected'] or 'none'} to {body['version'] or 'none'}{exclusion}{muted}"


def _excluded(body: Body) -> str:
    data = Exclusion.from_dict(body["exclusion"])
    named = {"batch": data.batch_id, "source": data.source, "submitter": data.submitter}
    chosen = [f"of {name} {value}" for name, value in named.items() if value]
    chosen += [f"of {name} surrogate {surrogate}" for name, surrogate in data.where]
    chosen += ["of a span of time"] if data.from_us > 0 or data.to_us < FOREVER_US else []
    rows = body["transactions"] if data.what == "transactions" else body["labels"]
    return f"{rows} {data.what} excluded: {', '.join(chosen)}"


def _attacked(body: Body) -> str:
    where = [f"{name} surrogate {surrogate}" for name, surrogate in body["entities"].items()]
    where += [f"{field} {word}" for field, word in body["words"].items()]
    return f"attack confirmed: {', '.join(where)}"


def _erased(body: Body) -> str:
    linked = sum(map(len, body["linked"].values()))
    others = f", and {_counted(linked, 'token')} of other entities" if linked else ""
    rows = _counted(body["transactions"], "transaction")
    return f"{body['entity']} surrogate {body['surrogate']} erased in {rows}{others}"


WORDS: Final[dict[str, Callable[[Body], str]]] = {
    "RetrainRequested": _requested,
    "CycleStarted": _started,
    "CycleFinished": _finished,
    "CycleFailed": _failed,
    "GuardReported": _guarded,
    "VersionRegistered": _registered,
    "VerdictGiven": _judged,
    "Promoted": _promoted,
    "VersionDropped": lambda body: f"{body['version']} is no challenger any more: {body['why']}",
    "ProbationEnded": lambda body: f"{body['version']} passed its probation",
    "RolledBack": _rolled_back,
    "DataExcluded": _excluded,
    "ExclusionUndone": lambda body: f"what entry {body['exclusion']} excluded counts again",
    "SentinelAdded": lambda body: (
        f"{_counted(len(body['transaction_ids']), 'fraud')} of pattern {body['pattern']} frozen as sentinels"
    ),
    "SentinelRetired": lambda body: f"sentinels of pattern {body['pattern']} retired",
    "AttackConfirmed": _attacked,
    "AttackEnded": lambda body: f"attack of entry {body['attack']} ended",
    "RulesSet": lambda body: f"{_counted(len(body['rules']), 'rule')} in force",
    "ExplorationSwitched": lambda body: f"exploration switched {'on' if body['on'] else 'off'}",
    "Asked": lambda body: f"{body['method']} asked for; it takes a second person",
    "Vacuumed": lambda body: (
        f"{_counted(len(body['bundles']), 'bundle')} and {_counted(body['files'], 'file')} let go"
    ),
    "EntityErased": _erased,
}
"""By kind; a test holds it to the kinds there are."""
