"""`fraud explore`: what each model lets through to learn from, and the switch that stops it at once.

The switch is an entry of the ledger, so it works with or without a service running, and
a running one follows within `server.ledger_poll`.
"""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time, service_now_us
from fraud.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.settings.model import Exploration

_COLUMNS = ("model", "explores", "rates", "amount_max", "budget", "switched", "by", "reason")


def explore(
    ctx: typer.Context,
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="Switch it; without either: only show.")
    ] = None,
    model: Annotated[str, typer.Option(help="May be left out to show all, or when there is one.")] = "",
    reason: Annotated[str, typer.Option(help="Stands in the ledger; required with --on and --off.")] = "",
    actor: Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")] = None,
) -> None:
    """Show or switch exploration: would-be declines let through to learn what they were."""
    from fraud.registry.store import LedgerStore

    shell = shell_of(ctx)
    models = shell.settings.models
    if model and model not in models:
        raise NotFound(f"no model {model!r}; the configuration has {', '.join(models)}")
    names = [model] if model else list(models)
    if on is not None and len(names) > 1:
        raise InvalidInput("--model", "is not given", f"name one of {', '.join(models)}")
    if on is not None and not reason:
        raise InvalidInput("--reason", "is not given", "say why; it stands in the ledger")
    with closing(LedgerStore.open(shell.settings.places.ledger, create=False)) as ledger:
        if on is not None and ledger.state().explores(names[0]) != on:
            ledger.append(
                "ExplorationSwitched",
                {"model": names[0], "on": on},
                actor=shell.local_signer(actor),
                reason=reason,
                time_us=service_now_us(shell.settings),
            )
        state = ledger.state()
    documents = [_document(name, models[name].policy.exploration, state) for name in names]
    if on and not documents[0]["configured"]:
        shell.note(
            f"the configuration lets nothing of {names[0]!r} through: enabled = false, or no rate above 0"
        )
    rows = [[_shown(document[name]) for name in _COLUMNS] for document in documents]
    shell.show(
        {"exploration": documents}, table("Exploration", [name.replace("_", " ") for name in _COLUMNS], rows)
    )


def _document(model: str, settings: "Exploration", state: "RegistryState") -> dict[str, Any]:
    switch = state.exploration_switches.get(model)
    return {
        "model": model,
        "explores": settings.active and state.explores(model),
        "configured": settings.active,
        "on": state.explores(model),
        "rates": list(settings.rates),
        "amount_max": settings.amount_max_minor,
        "budget": settings.budget_minor,
        "entity_budget": dict(settings.entity_budget_minor),
        "switched": None if switch is None else format_time(switch.time_us),
        "by": None if switch is None else switch.actor,
        "reason": None if switch is None else switch.reason,
    }


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(f"{each:g}" for each in value) if isinstance(value, list) else value
