"""An operator beside the service who sets confirmed frauds apart before there is a first model."""

from collections.abc import Sequence

from fraud.adversary.around import Around
from fraud.adversary.gang import Filing
from fraud.adversary.honest import HonestTraffic
from fraud.adversary.serviced import MODEL, ServiceDefender
from fraud.clock import DAY_US
from fraud.records import LabelValue
from fraud.retrainer.sentinels import SentinelDesk

PATTERN = "early"
SET_ROWS = 40


class WithSentinels(Around):
    """The service as a `Defender`, with the newest confirmed frauds made sentinels at the end of a day.

    The day lies before the retrainer starts, so nothing has learned from them.
    """

    def __init__(self, service: ServiceDefender, traffic: HonestTraffic, day: int) -> None:
        super().__init__(service)
        self._service = service
        self._set_us = traffic.start_us + (day + 1) * DAY_US
        self._confirmed: list[str] = []

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Hand the labels in; on the day, set the newest confirmed frauds apart.

        Raises:
            InvalidInput: too few frauds are confirmed by then.
        """
        super().learn(filings, now_us)
        if now_us > self._set_us:
            return
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
