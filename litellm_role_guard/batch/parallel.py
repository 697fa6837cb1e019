"""The rows of a file, worked on by several processes, results in the file's order.

Rows are read no further than the processes can take them, so that memory does not grow with the
file. A file of few rows needs no process but this one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar

from .formats.line_formats import LINE_FORMATS, LineFormat
from .formats.reader import InputFile
from .formats.source import Row

_ROWS_AT_ONCE = 250

_Result = TypeVar("_Result")


class RowWork(Protocol[_Result]):
    """What is done with rows; it crosses processes once, the rows in chunks."""

    def __call__(self, line_format: LineFormat, rows: list[Row]) -> list[_Result]:
        """Return the result of each row."""


def worked_on(file: InputFile, work: RowWork[_Result], jobs: int) -> Iterator[_Result]:
    """Yield the result of each row of a file, in order.

    Args:
        file: The file.
        work: What is done with its rows.
        jobs: How many processes may do it.

    Raises:
        BadInput: The file cannot be read.
    """
    line_format, rows = file.open()
    chunks = _chunks(rows)
    yield from work(line_format, next(chunks))
    if jobs == 1:
        for chunk in chunks:
            yield from work(line_format, chunk)
        return
    second = next(chunks, None)
    if second is None:
        return
    # A fork would copy the threads' locks, such as those of a progress bar.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[list[_Result]]] = deque()
    with ProcessPoolExecutor(jobs, context, _take_work, (work, line_format.name)) as pool:
        try:
            for chunk in chain([second], chunks):
                with _ctrl_c_ignored():  # by the process that this may start, for all of its life
                    waiting.append(pool.submit(_do, chunk))
                if len(waiting) > 2 * jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Have processes that are started here leave ctrl-C, which all of a terminal get, to this one.

    They inherit it, so that not even one that is about to begin ends in a traceback. A ctrl-C that
    comes meanwhile waits, where the system can have it wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no other may change it
        return
    can_wait = hasattr(signal, "pthread_sigmask")  # not on Windows
    if can_wait:
        resource_tracker.ensure_running()  # starting it lets through what waits
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if can_wait:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        yield chunk


_taken: list[Any] = []  # the work of this process, where it is one of the pool's


def _take_work(work: RowWork[Any], line_format: str) -> None:
    _taken[:] = [work, LINE_FORMATS[line_format]]


def _do(rows: list[Row]) -> list[Any]:
    work, line_format = _taken
    results: list[Any] = work(line_format, rows)
    return results
