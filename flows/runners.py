"""Where shards run: threads of this process, or the processes of a Ray cluster, behind one setting."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from catalogs.errors import EngineError, OptionError, PackshotError
from tasks import metrics

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

RunnerName = Literal["local", "ray"]
CONNECT_SECONDS = 5.0
# A shard whose machine dies is run again by Ray on another, so often.
MACHINES_A_SHARD_MAY_LOSE = 3
_ADDRESS = re.compile(r"[A-Za-z0-9.\-]+:[0-9]{1,5}|\[[0-9A-Fa-f:]+\]:[0-9]{1,5}")
_START = "start a node with `ray start --head --port 6379` and give its HOST:6379"


@dataclass(frozen=True)
class Runner:
    """A started task runner.

    Attributes:
        is_remote: shards run in other processes, which report nothing before they end.
        slots: how many shards can run at once now; a cluster grows and shrinks.
        placement: Ray's options of a shard.
    """

    task_runner: TaskRunner[Any]
    is_remote: bool
    slots: Callable[[], int]
    placement: Mapping[str, Any] = field(default_factory=dict)

    def submit(self, task: Any, parameters: dict[str, Any]) -> PrefectFuture[Any]:
        with self._placed():
            future: PrefectFuture[Any] = self.task_runner.submit(task, parameters)
        return future

    def _placed(self) -> Any:
        if not self.is_remote:
            return nullcontext()
        from prefect_ray.context import remote_options

        return remote_options(**self.placement)


def check_runner(name: str, address: str | None) -> None:
    """Refuse in one line what cannot work, before anything is planned.

    Raises:
        OptionError: Ray is not installed, the address is none or nobody answers there, or no Prefect server is set.
    """
    if name != "ray":
        if address:
            raise OptionError("--address", address, "only the runner `ray` has one", "add --runner ray")
        return
    if find_spec("prefect_ray") is None:
        raise OptionError("--runner", "ray", "Ray is not installed", "pip install 'packshot[ray]'")
    if address:
        _check_address(address)
    _check_server(address)


def _check_address(address: str) -> None:
    # "auto" starts another cluster through prefect-ray instead of joining one; ray:// is a client Ray advises against.
    if not _ADDRESS.fullmatch(address):
        raise OptionError("--address", address, "is not HOST:PORT of a Ray head node", _START)
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise OptionError("--address", address, f"no Ray head node answers ({error})", _START) from None


def _check_server(address: str | None) -> None:
    """Every Ray process writes to the Prefect server itself, so that the temporary one of a single run will not do."""
    from prefect.settings import get_current_settings

    api = get_current_settings().api.url
    if not api:
        fix = "run `prefect server start` and set PREFECT_API_URL to it"
        raise OptionError("--runner", "ray", "needs a Prefect server that every node reaches", fix)
    near = {"127.0.0.1", "localhost", "::1"}
    far = address is not None and address.rpartition(":")[0].strip("[]") not in {*near, socket.gethostname()}
    if far and urlsplit(api).hostname in near and not _is_here(str(address)):
        problem = f"{api} is this machine alone, and the nodes of {address} must reach it"
        raise OptionError("PREFECT_API_URL", "", problem, "set it to a name that every node knows")


def _is_here(address: str) -> bool:
    """Whether the address is one of this machine's own."""
    try:
        with socket.socket(socket.AF_INET6 if "[" in address else socket.AF_INET) as probe:
            probe.bind((address.rpartition(":")[0].strip("[]"), 0))
    except OSError:
        return False
    return True


@contextmanager
def open_runner(name: RunnerName, address: str | None, workers: int, engine: str) -> Iterator[Runner]:
    """A runner for shards; leaving waits for the shards of threads and ends those of Ray.

    Args:
        workers: threads of the local runner.
        engine: what the shards render with; `diffusers` takes a GPU each where the cluster has any.
    """
    if name == "local":
        from prefect.task_runners import ThreadPoolTaskRunner

        threads: TaskRunner[Any]
        with ThreadPoolTaskRunner(max_workers=workers) as threads:
            yield Runner(threads, False, lambda: workers)
        return
    with _ray(address) as runner:
        yield Runner(runner, True, *_placement(engine))


@contextmanager
def _ray(address: str | None) -> Iterator[TaskRunner[Any]]:
    if address is None:
        demand_token()
    # Ray reads its environment when it is imported.
    from prefect.settings import get_current_settings
    from prefect_ray import RayTaskRunner

    # The address only: what is secret belongs in the environment of each node.
    # Its processes count nothing: they may be anywhere, and their reports are counted here.
    variables = {"PREFECT_API_URL": str(get_current_settings().api.url), metrics.SETTING: ""}
    runner = RayTaskRunner(address, {"log_to_driver": False, "runtime_env": {"env_vars": variables}})
    # Ray tells of lost nodes on the output, which is the command's answer.
    with redirect_stdout(sys.stderr):
        before = signal.getsignal(signal.SIGTERM)
        try:
            runner.__enter__()
        except Exception as error:
            raise OptionError("--address", address or "", f"cannot join Ray: {_line(error)}", _START) from error
        _keep_sigterm(before)
        try:
            yield runner
        finally:
            runner.__exit__(None, None, None)


def demand_token() -> None:
    """Let a cluster of our own demand a token: its processes listen on every address of the machine."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _keep_sigterm(handler: Any) -> None:
    """Give a cancel back to Prefect: Ray's own handler ends the process by SIGABRT three seconds after SIGTERM."""
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def _placement(engine: str) -> tuple[Callable[[], int], dict[str, Any]]:
    """Slots and options of a shard: a free GPU where the engine uses one, a CPU otherwise.

    `max_calls` 0 keeps the process, and with it the loaded model; Ray's own default for a GPU is a process a call.
    """
    import ray

    options: dict[str, Any] = {"num_cpus": 1, "max_calls": 0, "max_retries": MACHINES_A_SHARD_MAY_LOSE}
    resource = "CPU"
    resources: Callable[[], Mapping[str, float]] = ray.cluster_resources
    if engine == "diffusers" and resources().get("GPU"):
        options["num_gpus"], resource = 1, "GPU"
    return lambda: max(1, int(resources().get(resource, 1))), options


def result_of(future: PrefectFuture[Any]) -> Any:
    """A shard's result.

    Raises:
        PackshotError: the shard failed as a whole; EngineError where its process or its machines were lost.
    """
    from prefect.exceptions import CancelledRun, CrashedRun

    try:
        return future.result()
    except PackshotError:
        raise
    except (CrashedRun, CancelledRun) as error:
        raise EngineError(f"its process was lost: {_line(error)}") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] != "ray":
            raise
        raise EngineError(f"Ray lost it: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
