"""A Dask cluster as the executor of a batch.

The interface: https://distributed.dask.org/en/stable/client.html

Its workers open the images by the same paths as we do, so that these have to be shared. Dask hands the job of a worker
that died to another one; that a job may be tried twice is no harm (see `imgkit.batch.work`).

Its own `Client.get_executor` is not used: a future of it whose result is on the way when the scheduler vanishes never
ends, and whoever waits for it waits for good (docs/decisions/120).
"""

from __future__ import annotations

import asyncio
import logging
import platform
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imgkit import __version__
from imgkit.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT = 10  # seconds to find the scheduler
# What the workers are asked, as text: it needs nothing of ours there to arrive, and no bytecode of the same Python.
_VERSIONS = "(__import__('imgkit.batch.work').__version__, '.'.join(__import__('platform').python_version_tuple()[:2]))"


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The workers of the scheduler at `address`, such as tcp://HOST:8786.

    Raises UsageError without the package `distributed`, EngineError for a scheduler that does not answer, has no
    workers, or has workers that are not like us.
    """
    try:
        from distributed import Client  # noqa: PLC0415  an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            "--scheduler needs the Python package `distributed`", hint="pip install 'imgkit-vm[distributed]'"
        ) from error
    try:
        client: Any = Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no Dask scheduler answers at {address} ({error})", hint="Start one: `dask scheduler`."
        ) from error
    with client:
        _check(client.nthreads(), address)
        _check_versions(client)
        for name in ("distributed.client", "tornado.application"):  # what they would report in tracebacks, we do
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield _Workers(client)


class _Workers(Executor):
    """The workers of a client; without their scheduler they are broken, as a process pool without its processes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a worker call `fn`. The future ends, with BrokenExecutor at worst. Raises BrokenExecutor."""
        try:
            sent = self._client.submit(fn, *args, pure=False, **kwargs)
        except Exception as error:
            if self._client.status in {"closing", "closed"}:
                raise BrokenExecutor from error
            raise
        return asyncio.run_coroutine_threadsafe(_result(sent), self._client.loop.asyncio_loop)


async def _result(sent: Any) -> Any:
    try:
        return await sent
    except Exception as error:
        if sent.status == "error":  # the job's own
            raise
        raise BrokenExecutor from error


def _check(threads: dict[str, int], address: str) -> None:
    if not threads:
        raise EngineError(
            f"the scheduler at {address} has no workers", hint=f"Start some: `dask worker {address} --nthreads 1`."
        )
    for worker, number in threads.items():
        if number != 1:
            raise EngineError(
                f"Dask worker {worker} has {number} threads; libext2fs is not thread-safe",
                hint="Start it with --nthreads 1, and several of them with --nworkers.",
            )


def _check_versions(client: Any) -> None:
    try:
        found: dict[str, tuple[str, str]] = client.run(eval, _VERSIONS)
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"the Dask workers cannot import this imgkit ({error})", hint=f"pip install imgkit-vm=={__version__} there."
        ) from error
    ours = __version__, ".".join(platform.python_version_tuple()[:2])
    for worker, (theirs, python) in found.items():
        if (theirs, python) != ours:
            raise EngineError(
                f"Dask worker {worker} has imgkit {theirs} on Python {python}, here it is imgkit {ours[0]} "
                f"on Python {ours[1]}",
                hint=f"Install the same on both sides: pip install imgkit-vm=={__version__}.",
            )
