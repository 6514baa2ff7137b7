"""A data folder whose champion and challenger the gate has judged."""

from pathlib import Path

from fraud.retrainer.casework import Casework
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import judge_challengers
from tests.retrainer.patterns import World


def judged(folder: Path) -> World:
    """Make card-1, promoted as the first version; card-2, judged against it; card-3, not judged."""
    world = World(folder)
    world.pass_days(34)
    world.train()
    judge(world)
    world.pass_days(48)
    world.train()
    judge(world)
    world.pass_days(50)
    world.train()
    return world


def judge(world: World) -> None:
    """Run the end of a cycle on what is known now."""
    history = world.history()
    champion = world.rival(world.ledger.state().champion("card"))
    shop = open_workshop(world.settings)
    judge_challengers(shop, "card", champion, Casework(history, world.bundles), history)
