"""What may happen next, each with its weight. A step says in a word what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from fraud.clock import DAY_US, HOUR_US
from fraud.errors import Conflict, DataFolderLocked, FraudError, InvalidInput
from fraud.eventlog.lock import lock_data_folder
from fraud.records import Scored, Transaction
from fraud.serving.batcher import Answer, Delivery, ScoreWork
from fraud.v1.transaction_pb2 import Transaction as Wire
from tests.simulation import operators
from tests.simulation.disk import Store
from tests.simulation.promises import promise
from tests.simulation.service import checkpoint_now

if TYPE_CHECKING:
    from tests.simulation.world import World

Act = Callable[["World"], Awaitable[str]]
AHEAD_US = 10 * DAY_US
"""So far ahead, what came yesterday is older than any horizon."""


async def score(world: "World") -> str:
    """Score payments of one to three calls as one batch; some stand in it twice, or came before."""
    pick = world.random
    clock = world.clock
    # A clock that is ahead is so for many: their payments come from ahead, too.
    now_us = max(clock.true_us, clock.now_us())
    wires = [world.clients.payment(now_us, clock.true_us) for _ in range(pick.randrange(1, 40))]
    if pick.random() < 0.3:
        wires.append(pick.choice(wires))
    former = world.clients.again()
    if former is not None and _kept(world, former) and pick.random() < 0.3:
        wires.append(former)
    pick.shuffle(wires)
    return await deliver(world, wires, calls=pick.randrange(1, 4))


async def deliver(world: "World", wires: list[Wire], calls: int) -> str:
    """Send payments, and hold what comes back against what was told before."""
    process = world.process
    accepted: list[Transaction] = []
    for wire in wires:
        try:
            accepted.append(world.intake.read(wire, process.scorer.now_for_intake()))
        except InvalidInput:
            world.count("refused")  # the clock is behind, so the payment lies in the future
    parts = [part for part in (accepted[i::calls] for i in range(calls)) if part]
    if not parts:
        return "nothing"
    loop = asyncio.get_running_loop()
    works = [ScoreWork(tuple(part), False, loop.create_future()) for part in parts]
    await process.batcher.run(lambda: _score(process.scorer.score, works, loop))
    for work in works:
        for sent, answer in zip(work.transactions, await work.future, strict=True):
            _hear(world, sent, answer)
    return f"scored {len(accepted)}"


def _score(
    call: Callable[[list[ScoreWork], Delivery], None], works: list[ScoreWork], loop: asyncio.AbstractEventLoop
) -> None:
    delivery = Delivery(loop)
    call(works, delivery)
    delivery.send()


def _hear(world: "World", sent: Transaction, answer: Answer | FraudError) -> None:
    told = world.clients.told.get(sent.transaction_id)
    promise(isinstance(answer, Answer), f"same id, same answer: {sent.transaction_id} was refused: {answer}")
    assert isinstance(answer, Answer)
    held: Scored = answer.scored
    if told is not None:
        same = told.decision == held.decision and told.features == held.features
        promise(same, f"same id, same answer: {sent.transaction_id} got another one")
    world.clients.told[sent.transaction_id] = held


async def score_again(world: "World") -> str:
    """Send payments again that were answered, or that nobody knows about."""
    found = [
        wire for wire in (world.clients.again() for _ in range(8)) if wire is not None and _kept(world, wire)
    ]
    return await deliver(world, found, calls=1) if found else "nothing"


def _kept(world: "World", wire: Wire) -> bool:
    """Tell whether the log still knows the id, or never did: pruned ids may come no more."""
    name = wire.transaction_id
    first = world.process.log.first()
    return first == 1 or name in world.process.log.find([name])


async def score_changed(world: "World") -> str:
    """Send another payment under an id that was answered: it is refused by name."""
    wire = world.clients.again()
    if wire is None or wire.transaction_id not in world.process.log.find([wire.transaction_id]):
        return "nothing"
    changed = Wire()
    changed.CopyFrom(wire)
    changed.amount_minor += 1
    transaction = world.intake.read(changed, 2**61)
    (answer,) = await world.process.batcher.score((transaction,), with_reasons=False)
    promise(isinstance(answer, Conflict), "an id stands for one payment")
    return "conflict"


async def label(world: "World") -> str:
    """Hand in a batch of labels."""
    batch = world.clients.batch(world.clock.true_us)
    world.clients.unsure_batches[batch.batch_id] = batch
    return await operators.hand_in(world, batch)


async def label_again(world: "World") -> str:
    """Hand in a batch again that was taken, or that nobody knows about."""
    clients = world.clients
    known = [*clients.taken.values(), *clients.unsure_batches.values()]
    known = [batch for batch in known if batch.batch_id not in clients.retracted | clients.unsure_retracted]
    return await operators.hand_in(world, world.random.choice(known)) if known else "nothing"


async def retract(world: "World") -> str:
    """Take a batch back."""
    clients = world.clients
    if not clients.taken:
        return "nothing"
    name = world.random.choice(list(clients.taken))
    clients.unsure_retracted.add(name)
    feedback = world.process.feedback
    await world.process.batcher.run(lambda: feedback.retract_batch(name, "bank", "a test"))
    clients.retracted.add(name)
    return "done"


async def report(world: "World") -> str:
    """Report what became of payments."""
    reports = world.clients.reports(world.clock.true_us)
    feedback = world.process.feedback
    taken = await world.process.batcher.run(lambda: feedback.take_outcomes(reports))
    refused = {row.index for row in taken.refused}
    world.clients.reported.update(it for place, it in enumerate(reports) if place not in refused)
    return f"took {len(reports) - len(refused)}"


async def list_entity(world: "World") -> str:
    """Put an entity on a list, or take it off."""
    event, token = world.clients.listing(world.clock.now_us())
    scorer = world.process.scorer
    listed = await world.process.batcher.run(lambda: scorer.append_listing(event, token))
    world.clients.listed[listed.reason] = listed
    return f"{listed.list_name or 'none'} has {listed.entity} {listed.surrogate}"


async def follow(world: "World") -> str:
    """Let the scorer look at the ledger."""
    await world.process.follower.poll(world.process.batcher)
    return "done"


async def copy(world: "World") -> str:
    """Copy the log to the archive."""
    position = await world.retraining.run(lambda shop: shop.copy())
    return f"to {position}"


async def compact(world: "World") -> str:
    """Merge small files of the archive."""
    await world.retraining.run(lambda shop: shop.archive.compact())
    return "done"


async def snapshot(world: "World") -> str:
    """Write a snapshot of the state."""
    await world.process.batcher.run(world.process.keeper.snapshot_now)
    return "done"


async def prune(world: "World") -> str:
    """Prune what the archive and a snapshot hold."""
    keeper, log = world.process.keeper, world.process.log
    upto, before = keeper._prunable(), log.first() - 1
    if not upto:
        return "nothing"
    keeper._prune(upto)
    horizon_us, sent_us = world.clock.true_us - keeper._horizon_us, world.clients.sent_us
    for entry in world.process.archive.entries(before, log.first() - 1):
        if isinstance(entry.event, Scored) and sent_us[entry.event.transaction_id] > horizon_us:
            world.count("pruned early")
            break
    await world.process.batcher.run(keeper._forget)
    return f"to {log.first() - 1}"


async def checkpoint(world: "World") -> str:
    """Move the log's write-ahead log into its file."""
    return "done" if checkpoint_now(world.settings.places.log) else "failed"


async def pass_time(world: "World") -> str:
    """Let a day or so pass."""
    world.clock.wait(world.random.choice((HOUR_US, DAY_US, 3 * DAY_US)))
    return "done"


async def jump(world: "World") -> str:
    """Set the machine's clock: back, ahead, or right."""
    skew_us = world.random.choice((0, 0, 0, -HOUR_US, -2 * DAY_US, 2 * HOUR_US, AHEAD_US))
    world.clock.skew_us = skew_us
    return f"by {skew_us / HOUR_US:g} h"


async def start_second(world: "World") -> str:
    """Start a second scorer on the data folder: it is told who holds it."""
    try:
        with lock_data_folder(world.settings.data_dir):
            promise(False, "one scorer on a data folder: a second one started")
    except DataFolderLocked:
        return "refused"
    return "started"


async def restart(world: "World") -> str:
    """Stop the scorer in order and start it again."""
    world.disk.fault = None
    await world.stop(snapshot=world.random.random() < 0.5)
    await world.start()
    return "done"


async def kill(world: "World") -> str:
    """Kill a process, or cut the power, between two changes."""
    world.disk.freeze(world.random.choice(("scorer", "retrainer")))
    return "now"


STEPS: tuple[tuple[str, Act, int], ...] = (
    ("score", score, 36),
    ("score again", score_again, 7),
    ("score changed", score_changed, 3),
    ("label", label, 14),
    ("label again", label_again, 5),
    ("retract", retract, 2),
    ("report", report, 5),
    ("list", list_entity, 4),
    ("follow", follow, 5),
    ("copy", copy, 7),
    ("compact", compact, 2),
    ("snapshot", snapshot, 6),
    ("prune", prune, 4),
    ("checkpoint", checkpoint, 3),
    ("pass time", pass_time, 3),
    ("clock jump", jump, 3),
    ("second scorer", start_second, 2),
    ("restart", restart, 3),
    ("kill", kill, 4),
    ("register", operators.register, 8),
    ("promote", operators.promote_one, 10),
    ("roll back", operators.roll_back, 9),
    ("exclude", operators.exclude, 2),
    ("undo exclusion", operators.undo, 2),
    ("retrain", operators.retrain, 5),
    ("spoil a bundle", operators.spoil, 3),
)

TOUCHED: dict[str, tuple[Store, ...]] = {
    **dict.fromkeys(("score", "score again", "label", "retract", "report", "list", "prune"), ("events",)),
    **dict.fromkeys(("promote", "roll back", "exclude", "undo exclusion"), ("registry",)),
    "copy": ("archive",),
    "register": ("bundles", "registry"),
    "retrain": ("archive", "bundles", "registry"),
    "snapshot": ("state",),
}
"""What a step writes to of its own accord."""


def choose(random: Random) -> tuple[str, Act]:
    """Return the next step and its name."""
    name, act, _ = random.choices(STEPS, [weight for _, _, weight in STEPS])[0]
    return name, act
