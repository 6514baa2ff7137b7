"""What an account shows to whoever has taken it over: where its owner buys, with what, for how much."""

import numpy as np

from fraud.adversary.honest import CARD, DEVICE, MERCHANT, HonestTraffic, Payments, kind_of, required_kind
from fraud.records import MISSING_SURROGATE

_UNKNOWN = MISSING_SURROGATE


class Statements:
    """Folds honest payments by card: last merchant, last device, mean amount. Mutable, one owner."""

    def __init__(self, traffic: HonestTraffic) -> None:
        self._card = required_kind(traffic.settings, CARD)
        self._merchant = required_kind(traffic.settings, MERCHANT)
        self._device = kind_of(traffic.settings, DEVICE)
        cards = traffic.entities[self._card]
        self._merchants = np.full(cards, _UNKNOWN, np.int64)
        self._devices = np.full(cards, _UNKNOWN, np.int64)
        self._count = np.zeros(cards, np.int64)
        self._sum = np.zeros(cards, np.int64)

    def note(self, payments: Payments) -> None:
        """Take honest payments in, in time order."""
        card = payments.surrogates[:, self._card]
        self._merchants[card] = payments.surrogates[:, self._merchant]  # of equal cards the last one stays
        if self._device is not None:
            device = payments.surrogates[:, self._device]
            given = device != MISSING_SURROGATE
            self._devices[card[given]] = device[given]
        np.add.at(self._count, card, 1)
        np.add.at(self._sum, card, payments.amount_minor)

    def merchant(self, card: int) -> int | None:
        """Return where a card paid last, None if it never did."""
        return _known(int(self._merchants[card]))

    def device(self, card: int) -> int | None:
        """Return the device it last paid from, None if there is none."""
        return _known(int(self._devices[card]))

    def usual_minor(self, card: int) -> int:
        """Return the mean amount of a card's payments, 0 if it has none."""
        return int(self._sum[card]) // max(1, int(self._count[card]))


def _known(number: int) -> int | None:
    return None if number == _UNKNOWN else number
