"""The one door to Ray: workers that are retried when killed, at low priority.

    with TrainingPool(settings.training) as pool:
        rows = pool.share(training_set)            # once into the object store
        for place, outcome in pool.each(calls):    # as they finish

A task whose process dies is started again up to `training.task_retries` times.
An exception inside a task is not retried, since the same arguments would raise
it again: it comes back as the outcome.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

import psutil
import ray
from ray._private import ray_constants  # which addresses it binds is no option of `ray.init`
from ray.exceptions import RayError, RayTaskError

from fraud.errors import ConfigError, Unavailable
from fraud.settings.learning import Training
from fraud.stopping import Stopped, Stopping
from fraud.training.priority import give_way

STARTS = 3
"""How often a local Ray is started before a cycle fails for want of it."""
_LOOK_S: Final = 1.0
"""How often it is looked, while tasks run, whether this process was told to stop."""

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class TrainingPool:
    """Ray for the length of a cycle: a local one, or the cluster at `training.ray_address`."""

    def __init__(self, training: Training, stopping: Stopping | None = None) -> None:
        """Set `stopping` and whoever waits for a task waits no longer; None: nothing ever does."""
        self._stoppable = stopping is not None
        self._training = training
        self._stopping = stopping or Stopping()
        self._cpus = training.local_cpus
        self.suspect = False
        """A task was lost to Ray itself: a worker that died, or all of Ray."""

    def __enter__(self) -> Self:
        """Start or join Ray.

        Raises:
            Unavailable: the cluster does not answer, or no local Ray starts.
            ConfigError: `training.cpus_per_task` is more than any machine has.
            Stopped: this process was told to stop meanwhile.
        """
        with _signals_kept():
            try:
                self._start()
            except SystemExit as ended:
                if not self._stoppable:
                    raise
                # By Ray's own handler of SIGTERM, which stands in for ours while it starts.
                self._stopping.set()
                raise Stopped("told to stop while Ray started") from ended
        return self

    def _start(self) -> None:
        # Nothing that this service learns leaves it, not even how often it runs.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Ray starts its workers at 15, from which none but root comes back to `training.niceness`.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 — Ray's own spelling
        # Or SIGTERM, while Ray connects, is a crash to it: a stack trace, and SIGABRT three seconds later.
        ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
        address = self._training.ray_address
        if not address:
            self._check_cpus(self._cpus)
            self._start_local()
            return
        ray_constants.ENABLE_RAY_CLUSTER = True
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RayError) as error:
            raise Unavailable(
                f"Ray at {address!r} does not answer ({error}); see training.ray_address"
            ) from None
        self._check_cpus(max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes()))  # type: ignore[no-untyped-call]

    def _start_local(self) -> None:
        """Start a Ray of our own; it gives itself 30 s, too few at times on a machine under load.

        It listens on loopback alone, and to nobody without its token: who reaches it runs what they like.
        """
        ray_constants.ENABLE_RAY_CLUSTER = False
        os.environ.pop("RAY_AUTH_MODE", None)  # for what is not set Ray takes "token"
        for left in reversed(range(STARTS)):
            try:
                ray.init(
                    address="local",
                    num_cpus=self._cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except Exception as error:
                ray.shutdown()
                self._stopping.check()
                if not left:
                    raise Unavailable(
                        f"Ray did not start, {STARTS} times in a row ({error}); look at the load and free "
                        "memory of the machine, then ask for the retrain again"
                    ) from error
            else:
                return

    def _check_cpus(self, most: int) -> None:
        if self._training.threads_per_task > most:
            raise ConfigError(
                f"training.cpus_per_task: {self._training.threads_per_task} is more than the {most} CPUs "
                "of the largest machine, so no task would ever start; lower it"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the local Ray, or leave the cluster."""
        ray.shutdown()

    def share(self, value: Any) -> Any:
        """Put a value into the object store; given to tasks, they read one copy in place."""
        return ray.put(value)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run one call on a worker and return what it returns.

        Raises:
            Exception: what the call raised.
            Unavailable: its process died more often than is retried.
            Stopped: as `each`.
        """
        outcome = next(self.each([(function, args)]))[1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def each(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Run calls in parallel; yield `(place, result or exception)` as each finishes.

        Functions have to be importable by name; arguments made by `share` arrive
        as their values.

        Raises:
            Stopped: this process was told to stop; what runs yet ends with the pool.
        """
        remote = _REMOTE.options(
            num_cpus=self._training.threads_per_task,
            max_retries=self._training.task_retries,
            retry_exceptions=False,
        )
        places = {
            remote.remote(self._training.niceness, function, *args): place
            for place, (function, args) in enumerate(calls)
        }
        waiting = list(places)
        while waiting:
            self._stopping.check()
            finished, waiting = ray.wait(waiting, num_returns=1, timeout=_LOOK_S)
            for task in finished:
                yield places[task], self._outcome(task)

    def _outcome(self, finished: Any) -> Any:
        try:
            return ray.get(finished)
        except RayTaskError as error:
            cause = error.cause
            return cause if isinstance(cause, Exception) else error
        except RayError as error:
            self.suspect = True
            return Unavailable(
                f"worker died and {self._training.task_retries} retries did not help "
                f"({type(error).__name__}); look at memory, or lower the recipe's window"
            )


def end_at_once() -> None:
    """Kill all below this process, Ray above all; it has to end itself right after, by `os._exit`.

    `ray.shutdown` waits for processes that may hardly get a core, and one that was cut short while it
    started is nobody's to shut down. Whatever they hold is made anew by the next cycle.
    """
    me = psutil.Process()
    for child in me.children():
        with suppress(psutil.NoSuchProcess):
            child.suspend()  # so that it starts none while they are looked up
    for child in me.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    node = ray._private.worker._global_node
    if node is not None and node.is_head():
        with suppress(Exception):  # what is left of it costs disk space, no more
            node.destroy_external_storage()  # what did not fit into memory


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give SIGTERM and SIGINT back to whoever had them: `ray.init` takes both, and exits on SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            # None: installed from C, which Python can neither see nor put back.
            if handler is not None:
                signal.signal(number, handler)


def _work(niceness: int, function: Callable[..., Any], *args: Any) -> Any:
    give_way(niceness)
    return function(*args)


_REMOTE: Final = ray.remote(_work)
"""Made once: each that is made is exported under a key of its own, which stays for as long as Ray runs."""
