"""What may be changed of a fraud: within the schema, at a price, with what follows from it."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.attacks.payment import UNSEEN, Capabilities, Choice, Payment
from fraud.attacks.whitebox import parts_of
from fraud.clock import DAY_US
from fraud.serving.intake import TransactionIntake
from fraud.v1.transaction_pb2 import Transaction as WireTransaction
from tests.attacks.worlds import DAYS, START_US, World


def on_the_wire(world: World, payment: Payment) -> WireTransaction:
    """A payment as a caller would send it; surrogates stand for tokens."""
    schema = world.settings.schema_
    wire = WireTransaction(
        transaction_id="attack",
        event_time_us=payment.event_time_us,
        model="card",
        amount_minor=payment.amount_minor,
        currency=world.settings.service.currency,
    )
    for name, surrogate in zip(schema.entity_names, payment.surrogates, strict=True):
        if surrogate != -1:
            wire.entities[name] = f"e{surrogate}"
    for name, number in zip(schema.numeric_names, payment.numerics, strict=True):
        if number == number:
            wire.numerics[name] = number
    for name, word in zip(schema.categorical_names, payment.words, strict=True):
        if word:
            wire.categoricals[name] = word
    return wire


def test_every_payment_within_reach_is_taken_by_intake(world: World) -> None:
    intake = TransactionIntake(world.settings)
    now_us = START_US + 2 * DAYS * DAY_US
    for fraud in world.frauds(8):
        choices = world.allowed.choices(fraud, world.reach, seed=1)
        least, most = world.allowed.amounts(fraud)
        for choice in choices[::7]:
            for amount in (least, most):
                payment = replace(choice.payment, amount_minor=amount)
                taken = intake.read(on_the_wire(world, payment), now_us)
                assert (taken.amount_base_minor, taken.event_time_us) == (amount, payment.event_time_us)
                assert taken.categoricals == payment.words


def test_the_fraud_as_it_was_comes_first_and_costs_nothing_and_others_rise_in_cost(world: World) -> None:
    fraud = world.frauds()[0]
    choices = world.allowed.choices(fraud, world.reach, seed=1)
    assert choices[0] == Choice(fraud.payment, 0.0)
    costs = [choice.cost for choice in choices]
    assert costs == sorted(costs)
    assert len(choices) <= world.allowed.choices_max


def test_a_new_device_brings_a_new_account_with_it(world: World) -> None:
    fraud = world.frauds()[0]
    for choice in world.allowed.choices(fraud, world.reach, seed=1):
        new = choice.payment.surrogates[2] == UNSEEN
        assert new == ("device" in choice.changed)
        assert (choice.payment.numerics[0] == 0) == new or fraud.payment.numerics[0] == 0


def test_the_card_is_never_changed_and_what_is_not_controlled_stays(world: World) -> None:
    fraud = world.frauds()[0]
    bare = world.settings.attacks.model_copy(
        update={"entities": {}, "categorical": {}, "pace": None, "amount": None}
    )
    stiff = Capabilities(world.settings.model_copy(update={"attacks": bare}))
    assert stiff.choices(fraud, world.reach, seed=1) == [Choice(fraud.payment, 0.0)]
    assert stiff.amounts(fraud) == (fraud.value_minor, fraud.value_minor)
    for choice in world.allowed.choices(fraud, world.reach, seed=1):
        assert choice.payment.surrogates[0] == fraud.payment.surrogates[0]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_split_keeps_the_sum(world: World, count: int) -> None:
    payment = replace(world.frauds()[0].payment, amount_minor=1_001)
    parts = parts_of(payment, count, 60_000_000)
    amounts = [part.amount_minor for part in parts]
    assert sum(amounts) == 1_001
    assert max(amounts) - min(amounts) <= 1
    assert np.diff([part.event_time_us for part in parts]).tolist() == [60_000_000] * (count - 1)
