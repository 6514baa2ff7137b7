"""What a hardened recipe learns beside the frauds that happened: how they could have been done instead.

    champion ─ attacked with frauds that may teach, trees in hand and by probing ─▶ evasions
    the same frauds ─ ways drawn at random, whoever defends ─▶ attempts         (`fraud.attacks.repertoire`)
      ─▶ features of every payment ─▶ `fraud.training.hardening`

Attacked is what serves now, so each retrain answers the champion of its time, and a
champion that was hardened is attacked in turn (Feedzai, arXiv 2307.15677). Attempts answer
no model: they stand for all champions, former ones and those to come.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.campaign import Drawn, Result
from fraud.attacks.repertoire import Attempt
from fraud.attacks.whitebox import Evasion
from fraud.bundle.bundle import Bundle
from fraud.training.dataset import TrainingSet, Variants
from fraud.training.hardening import attacked
from fraud.training.history import History
from fraud.training.redteam import red_team
from fraud.training.splits import walk_forward


def with_variants(rows: TrainingSet, history: History, champion: Bundle | None) -> TrainingSet:
    """Return the set with variants of its frauds, where a recipe asks for them and a champion is there.

    The past is folded once for all recipes that ask; of what comes of it each takes what is its own.
    """
    recipes = [each for each in history.settings.training.recipes.values() if each.kind == "hardened"]
    if not recipes or champion is None or not _can_be_attacked(champion, history):
        return rows
    spans = [walk_forward(history.settings, rows.cut.time_us, recipe.window) for recipe in recipes]
    asked = [
        attacked(recipe, rows, np.flatnonzero(span.teaches(rows.event_time_us, rows.held)))
        for recipe, span in zip(recipes, spans, strict=True)
    ]
    among = np.unique(np.concatenate(asked))
    (results,) = red_team(
        history,
        [champion],
        frauds=len(among),
        since_us=min(span.train.start_us for span in spans),
        among=rows.position[among],
        drawn=Drawn(
            max(recipe.variant_ways for recipe in recipes), max(recipe.variant_cost for recipe in recipes)
        ),
    )
    return replace(rows, variants=variants_of(rows, history, results))


def _can_be_attacked(champion: Bundle, history: History) -> bool:
    """Tell whether the service still holds every column of the champion, and each means the same."""
    names = {*history.spec.names, *history.settings.schema_.categorical_names}
    same = champion.feature_definitions.items() <= history.spec.definitions.items()
    return same and names.issuperset(champion.column_names)


def variants_of(rows: TrainingSet, history: History, results: Sequence[Result]) -> Variants:
    """Return every payment of the evasions and ways of a campaign whose fraud is among the rows."""
    index = history.spec.indices(rows.feature_names)
    fields = [history.settings.schema_.categorical_names.index(name) for name in rows.categorical_names]
    features: list[NDArray[np.float32]] = [np.empty((0, len(index)), np.float32)]
    words: list[tuple[str, ...]] = []
    facts: list[tuple[int, float, int, bool]] = []
    attempt = 0
    for result in results:
        place = int(np.searchsorted(rows.position, result.fraud.position))
        if place == len(rows) or rows.position[place] != result.fraud.position:
            continue
        for way, evades in _ways(result):
            features.append(way.features[:, index])
            words += [tuple(payment.words[field] for field in fields) for payment in way.payments]
            facts += [(place, way.cost, attempt, evades)] * len(way.payments)
            attempt += 1
    of, cost, attempts, evasions = zip(*facts, strict=True) if facts else ((), (), (), ())
    return Variants(
        np.concatenate(features),
        tuple(words),
        np.array(of, np.int64),
        np.array(cost, np.float64),
        np.array(attempts, np.int64),
        np.array(evasions, np.bool_),
    )


def _ways(result: Result) -> Iterator[tuple[Evasion | Attempt, bool]]:
    """Yield what searches found, and then what was drawn; whether the bundle accepts it."""
    found = [result.white, None if result.black is None else result.black.evasion]
    yield from ((each, True) for each in found if result.stopped and each is not None)
    yield from ((each, False) for each in result.ways)
