"""An operator beside the service: sentinels before there is a first model, then what the guard asks for.

    a day before the retrainer starts   the newest confirmed frauds are frozen as sentinels
    every evening after                 what the guard froze for is cut out, by `fraud.adversary.incident`

It knows what the ledger says and has the calls that anybody with its role has.
"""

from collections.abc import Sequence
from typing import Self

from fraud.adversary.around import Around
from fraud.adversary.chronicle import Chronicle
from fraud.adversary.gang import Filing
from fraud.adversary.honest import HonestTraffic
from fraud.adversary.incident import Operator, Repair
from fraud.adversary.serviced import MODEL, ServiceDefender
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.records import LabelValue
from fraud.registry.store import LedgerStore
from fraud.retrainer.sentinels import SentinelDesk

PATTERN = "early"
SET_ROWS = 40


class Operated(Around):
    """The service as a `Defender`, with an operator; a context manager around a service that is ready.

    `day`, at whose end sentinels are set, lies before the retrainer starts: nothing has learned from them.
    `repairs` holds what was cut out so far.
    """

    def __init__(self, service: ServiceDefender, traffic: HonestTraffic, day: int) -> None:
        super().__init__(service)
        self._service = service
        self._start_us = traffic.start_us
        self._set_us = traffic.start_us + (day + 1) * DAY_US
        self._confirmed: list[str] = []
        self._client = Client(service.stage.target, deadline_s=60.0, retries=0)
        self._ledger = LedgerStore.open(service.stage.settings.places.ledger, writable=False)
        self._operator = Operator(self._client, MODEL)
        self._chronicle = Chronicle()
        self._read = 0
        self.repairs: list[Repair] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._ledger.close()

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Hand the labels in; then set sentinels on their day, and later mend what the guard froze for.

        Raises:
            InvalidInput: too few frauds are confirmed by then.
            FraudError: the service refused, or did not answer.
        """
        super().learn(filings, now_us)
        if now_us <= self._set_us:
            self._set_sentinels(filings, now_us)
            return
        day = (now_us - self._start_us) // DAY_US - 1
        for entry in self._ledger.read(self._read):
            self._read = entry.seq
            for _ in self._chronicle.tell(entry, day):
                pass
        found = self._operator.act(day, frozen=self._chronicle.frozen, suspects=self._chronicle.suspects)
        if found:
            self.repairs += found
            super().learn([], now_us)

    def _set_sentinels(self, filings: Sequence[Filing], now_us: int) -> None:
        source = self._service.stage.settings.sentinel_source
        self._confirmed += [
            label.transaction_id
            for filing in filings
            if filing.source == source
            for label in filing.labels
            if label.value is LabelValue.FRAUD
        ]
        if now_us == self._set_us:
            desk = SentinelDesk.open(self._service.stage.settings)
            try:
                newest = self._confirmed[-SET_ROWS:]
                desk.add(MODEL, PATTERN, newest, actor="benchmark", reason="first frauds", skip_refused=True)
            finally:
                desk.close()
