"""What people and the retrainer do to the service: labels, versions, exclusions, retrains."""

import asyncio
from dataclasses import replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from fraud.bundle.bundle import FILES, Bundle
from fraud.clock import DAY_US
from fraud.errors import FraudError, NotAllowedNow
from fraud.registry.store import promote
from fraud.retrainer.cycle import Order, Workshop, run_cycle
from fraud.serving.excluding import SelectionGiven
from fraud.serving.rollback import RollbackOrder
from fraud.training.history import Cut
from fraud.training.splits import walk_forward
from tests.bundle.made import made_bundle
from tests.simulation.promises import promise
from tests.simulation.service import HerePool

if TYPE_CHECKING:
    from tests.simulation.clients import Batch
    from tests.simulation.world import World

MODEL = "card"
BUNDLES = 4
LOST_SHARE = 0.2
"""Of calls, those whose worker dies."""


@cache
def bundle_of(number: int) -> Bundle:
    """Return one of a few small bundles."""
    return made_bundle(MODEL, seed=number % BUNDLES)


async def hand_in(world: "World", batch: "Batch") -> str:
    """Hand in a batch; once it was taken it is only ever repeated."""
    feedback = world.process.feedback
    former = batch.batch_id in world.clients.taken
    taken = await world.process.batcher.run(
        lambda: feedback.take_labels(batch.batch_id, 0, batch.source, "bank", batch.labels)
    )
    promise(taken.repeated or not former, f"label batch {batch.batch_id} was taken twice")
    world.clients.unsure_batches.pop(batch.batch_id, None)
    world.clients.taken[batch.batch_id] = batch
    return "repeated" if taken.repeated else f"took {len(batch.labels)}"


async def register(world: "World") -> str:
    """Register a version that learned from the log so far."""
    return await world.retraining.run(_register)


def _register(shop: Workshop) -> str:
    head = shop.log.head()
    if not head:
        return "nothing"
    state = shop.state()
    version = state.next_version(MODEL)
    cut = {"position": head, "time_us": shop.log.last_arrival_us()}
    positions = {span: [1, head] for span in ("traffic", "train", "calibration")}
    summaries = shop.log.batches(0, "", 0, 6)
    # Each learned from one batch only, so that an exclusion leaves somebody clean.
    summaries = summaries[head % max(1, len(summaries)) :][:1]
    batches = [
        {
            "batch_id": it.batch_id,
            "source": it.source,
            "submitter": it.submitter,
            "arrival_us": [it.arrival_time_us, it.arrival_time_us],
            "parts": 1,
            "labels": it.labels,
            "frauds": it.frauds,
        }
        for it in summaries
    ]
    spans = walk_forward(shop.settings, cut["time_us"], 7 * DAY_US).to_dict()
    told = {"cut": cut, "spans": spans, "positions": positions, "label_batches": batches}
    made = bundle_of(int(version.rpartition("-")[2]))
    bundle = replace(made, manifest={**made.manifest, **told})
    body: dict[str, Any] = {
        "version": version,
        "model": MODEL,
        "recipe": "full",
        "digest": shop.bundles.write(bundle),
        "parent": "",
        "attempt": state.attempts(MODEL) + 1,
        "challengers": 1,
        "cut_position": cut["position"],
        "cut_time_us": cut["time_us"],
        "manifest": dict(bundle.manifest),
    }
    shop.record("VersionRegistered", body, "a test")
    return f"as {version}"


async def promote_one(world: "World") -> str:
    """Promote a version; at times somebody else was first, and then it must not happen."""

    def work(shop: Workshop) -> str:
        state = shop.state()
        champion = state.champion(MODEL)
        names = [
            name for name, it in state.versions.items() if it.status in ("challenger", "former champion")
        ]
        if len(names) < 2:
            return "nothing"
        mine, theirs = world.random.sample(names, 2)
        if world.random.random() < 0.3:
            if not _promote(shop, theirs, champion):
                return "refused"
            promise(not _promote(shop, mine, champion), f"{mine} was promoted over {theirs}")
            return f"raced: {theirs}, not {mine}"
        return f"to {mine}" if _promote(shop, mine, champion) else "refused"

    said = await world.retraining.run(work)
    await world.process.follower.poll(world.process.batcher)
    return said


def _promote(shop: Workshop, version: str, expected: str) -> bool:
    now_us = shop.clock.now_us()
    try:
        promote(
            shop.registry.store, MODEL, version, expected, actor="people", reason="a test", time_us=now_us
        )
    except NotAllowedNow:
        return False
    return True


async def roll_back(world: "World") -> str:
    """Put a former champion back."""
    state = world.process.registry.refresh()
    names = state.clean_champions(MODEL)
    if not names:
        return "nothing"
    order = RollbackOrder(MODEL, 0, world.random.choice(names), 0, "people", "a test")
    done = await world.process.rollbacks.carry_out(order)
    return f"to {done.plan.to_version}"


async def exclude(world: "World") -> str:
    """Cut a label batch out; what learned from it serves no more."""
    if not world.clients.taken:
        return "nothing"
    name = world.random.choice(list(world.clients.taken)[:6])
    selection = SelectionGiven(name, "", "", False, 0, 0, {})
    process = world.process
    seq, *_ = await process.excluding.carry_out(selection, actor="people", reason="a test", retrain=True)
    state = process.registry.refresh()
    tainted = bool(state.tainted_by(state.champion(MODEL)))
    clean = state.clean_champions(MODEL)
    promise(not tainted or not clean, f"a tainted version serves no more where {clean} may")
    return f"done: {name} in {seq}"


async def undo(world: "World") -> str:
    """Let excluded data count again."""
    state = world.process.registry.refresh()
    seqs = [seq for seq, it in state.exclusions.items() if it.in_force]
    if not seqs:
        return "nothing"
    await world.process.excluding.undo(world.random.choice(seqs), actor="people", reason="a test")
    return "done"


async def retrain(world: "World") -> str:
    """Run the cycle that is due, or ask for one and run it; payments are scored meanwhile."""
    loop = asyncio.get_running_loop()
    failed: list[BaseException] = []

    def between() -> None:
        from tests.simulation.steps import score

        try:
            asyncio.run_coroutine_threadsafe(score(world), loop).result()
            world.count("scored while training")
        except FraudError:
            world.count("not scored while training")  # the fault that is on hit the scorer
        except BaseException as error:
            failed.append(error)
            raise

    def lost() -> bool:
        world.count("called a worker")
        if world.random.random() >= LOST_SHARE:
            return False
        world.count("worker lost")
        return True

    def work(shop: Workshop) -> str:
        head = shop.log.head()
        if not head or shop.log.last_arrival_us() - shop.log.read(0, 1)[0].arrival_time_us < 3 * DAY_US:
            return "nothing"
        order = _next_order(shop)
        pool = HerePool(world.settings, between, lost)
        verdicts = run_cycle(shop, order, lambda: pool)
        return "verdicts: " + ", ".join(it.verdict for it in verdicts if it.model == MODEL)

    said = await world.retraining.run(work)
    if failed:
        raise failed[0]
    return said


def _next_order(shop: Workshop) -> Order:
    """Return the oldest request that is not answered, or make one, as the watching retrainer does."""
    due = [it for it in shop.state().requests() if it.state in ("WAITING", "RUNNING")]
    if not due:
        body = {
            "model": MODEL,
            "cut_position": shop.log.head(),
            "cut_time_us": max(shop.clock.now_us(), shop.log.last_arrival_us()),
            "trigger": "by hand",
        }
        shop.record("RetrainRequested", body, "a test")
        due = [it for it in shop.state().requests() if it.state in ("WAITING", "RUNNING")]
    request = due[0]
    models = tuple(request.model.split(",")) if request.model else (MODEL,)
    return Order(models, Cut(request.cut_position, request.cut_time_us), request.trigger, request.seq)


def _flipped(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


async def spoil(world: "World") -> str:
    """Change a byte of a bundle, or put another in its place, and promote it: it must not serve."""
    state = world.process.registry.refresh()
    used = {champion.bundle.digest for champion in world.process.champions.all().values()}
    names = [
        name
        for name, it in state.versions.items()
        if it.status in ("challenger", "former champion") and it.digest not in used | world.spoilt
    ]
    if not names:
        return "nothing"
    version = state.version(world.random.choice(names))
    place = world.settings.places.bundles / version.digest
    files = dict(bundle_of(world.random.randrange(BUNDLES)).files())
    if world.random.random() < 0.5:
        files = {name: (place / name).read_bytes() for name in [world.random.choice(sorted(FILES))]}
        files = {name: _flipped(content, world.random) for name, content in files.items()}
    for name, content in files.items():
        world.disk.put(place / name, content)
    world.spoilt.add(version.digest)
    champion = state.champion(MODEL)
    await world.retraining.run(lambda shop: _promote(shop, version.version, champion))
    await world.process.follower.poll(world.process.batcher)
    serving = world.process.champions.get(MODEL)
    served = serving.version if serving is not None else ""
    promise(served != version.version, f"a bad bundle never serves: {version.version} does")
    return f"done: {version.version}"
