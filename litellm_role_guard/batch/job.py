"""A whole batch, from an input file to an output file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from .asking import Asking, requests_of
from .errors import BadOutput
from .formats.reader import InputFile
from .inspection import Inspection, inspect
from .journal import Journal
from .output import STDOUT, Output
from .reading_ahead import read_ahead
from .run import Limits, Run
from .sending.dispatcher import Dispatcher
from .sending.pace import Pace
from .sending.retries import Retries
from .sending.target import HttpTarget, Target, connections
from .tally import Tally
from .target import Server, serves

DEFAULT_CONCURRENT = 500

DEFAULT_SECONDS = 600.0

Ending = Literal["complete", "drained", "given_up"]
"""How a run ended: `drained` where it was asked to stop, `given_up` after too many errors."""


@dataclass(frozen=True)
class Job:
    """What a batch is to do.

    Attributes:
        file: The input.
        out: The path of the output; `-` for the standard output.
        asking: How each row is asked.
        server: Where it goes.
        max_concurrent: The most requests under way at once.
        retries: How often each is sent.
        seconds: How long one try may take.
        ordered: Whether the output stands in the input's order.
        text_only: Whether a line of it is the answer's text alone.
        overwrite: Whether to begin anew what an earlier run has written.
        retry_failed: Whether to ask again what an earlier run has given up.
        max_errors: How many requests may fail; None for any number.
    """

    file: InputFile
    out: Path
    asking: Asking
    server: Server
    max_concurrent: int = DEFAULT_CONCURRENT
    retries: Retries = field(default_factory=Retries)
    seconds: float = DEFAULT_SECONDS
    ordered: bool = True
    text_only: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    max_errors: int | None = None

    @property
    def journal(self) -> Path:
        """The path of the journal."""
        return self.out.with_name(self.out.name + ".journal")


class Observer(Protocol):
    """Sees how a job gets on."""

    def inspecting(self, count: int) -> None:
        """Note how many requests of the input were looked at."""

    def begins(
        self, tally: Tally, pace: Pace, dispatcher: Dispatcher, inspection: Inspection | None
    ) -> None:
        """Note that requests are sent from now on."""


class _StoppedError(Exception):
    """It was asked to stop before anything was sent."""


class RunningJob:
    """A job that can be stopped.

    Args:
        job: What to do.
        observer: Sees how it gets on.

    Attributes:
        is_stopping: Whether it was asked to stop.
        tally: What came of it so far.
        waiting: How many answers stand in the journal only, behind one that is missing.
    """

    def __init__(self, job: Job, observer: Observer) -> None:
        self._job = job
        self._observer = observer
        self._dispatcher: Dispatcher | None = None
        self.is_stopping = False
        self.tally = Tally()
        self.waiting = 0

    def drain(self) -> None:
        """Send nothing more, and end once what is under way is answered."""
        self.is_stopping = True
        if self._dispatcher is not None:
            self._dispatcher.drain()

    async def run(self) -> Ending:
        """Do the job.

        Raises:
            BatchError: It cannot be begun, or not go on.
        """
        job = self._job
        _check_paths(job)
        async with connections(job.server.api_key, job.max_concurrent) as session:
            _allow_open_files(job.max_concurrent)
            target = HttpTarget(job.server.url, session, job.seconds)
            names: list[str] | None = None
            if job.server.is_backend and job.asking.model is None:
                if not job.file.is_stdin:
                    job.file.open()  # what is not there needs no vLLM to be told
                names = await target.models()
                model = job.server.only_model(names)
                job = replace(job, asking=replace(job.asking, model=model))
            inspection = None
            if not job.file.is_stdin:
                try:
                    inspection = await asyncio.to_thread(
                        inspect, job.file, job.asking, self._looked_at
                    )
                except _StoppedError:
                    return "drained"
                self.tally.total = inspection.count
            if job.overwrite:
                _begin_anew(job)
            with _journal(job, inspection) as journal:
                self._count_earlier(journal)
                names = names if names is not None else await target.models()
                alone = not serves(names, _models(job.asking, inspection))
                asked: Target = target
                if job.server.is_backend:
                    asked = await job.server.guarded(target, job.asking.model or "")
                limits = Limits(job.max_errors, first_alone=alone)
                return await self._run(job, journal, inspection, asked, limits)

    def _looked_at(self, count: int) -> None:
        if self.is_stopping:
            raise _StoppedError
        self._observer.inspecting(count)

    def _count_earlier(self, journal: Journal) -> None:
        for result in journal.results():
            if self._job.retry_failed and not result.answered:
                journal.forget(result.number)
            else:
                self.tally.add(result, is_earlier=True)

    async def _run(
        self,
        job: Job,
        journal: Journal,
        inspection: Inspection | None,
        target: Target,
        limits: Limits,
    ) -> Ending:
        pace = Pace(job.max_concurrent)
        self._dispatcher = dispatcher = Dispatcher(target, pace, job.retries)
        if self.is_stopping:
            dispatcher.drain()
        output = Output(job.out, journal, ordered=job.ordered, text_only=job.text_only)
        try:
            self._observer.begins(self.tally, pace, dispatcher, inspection)
            run = Run(journal, output, dispatcher, self.tally, limits)
            await run.ask(read_ahead(requests_of(job.file, job.asking)))
            journal.sync()
        finally:
            self.waiting = output.waiting
            output.close()
        if run.is_given_up:
            return "given_up"
        return "drained" if dispatcher.is_draining else "complete"


def _check_paths(job: Job) -> None:
    if job.out == STDOUT:
        return
    with contextlib.suppress(OSError):
        if not job.file.is_stdin and os.path.samefile(job.file.path, job.out):
            raise BadOutput(f"{job.out}: is the input")
    with contextlib.suppress(OSError):
        if job.out.is_dir():
            raise BadOutput(f"{job.out}: is a directory")
        if job.out.stat().st_size and not job.journal.exists() and not job.overwrite:
            raise BadOutput(
                f"{job.out}: exists, and no {job.journal.name} says what it belongs to; "
                "take another OUT, or --overwrite"
            )


def _begin_anew(job: Job) -> None:
    if job.out == STDOUT:
        return
    for path in (job.journal, job.out):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise BadOutput(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def _journal(job: Job, inspection: Inspection | None) -> Iterator[Journal]:
    header = {
        "input": job.file.name,
        "sha256": None if inspection is None else inspection.sha256,
        "settings": job.asking.settings(),
    }
    with contextlib.ExitStack() as stack:
        path = job.journal
        if job.out == STDOUT:  # which nobody can go on with
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="role-guard-"))
            path = Path(folder) / "journal"
        journal = Journal(path, header)
        try:
            yield journal
        finally:
            journal.close()
            if journal.is_empty:  # an empty file would only stand in the way
                path.unlink(missing_ok=True)
                if job.out != STDOUT:
                    job.out.unlink(missing_ok=True)


def _models(asking: Asking, inspection: Inspection | None) -> Collection[str] | None:
    """Return the models that are asked; None where that is not known yet."""
    if asking.model is not None:
        return (asking.model,)
    return None if inspection is None else inspection.models


def _allow_open_files(connections: int) -> None:
    """Raise the limit of open files, which is often 1024, where it is this process's to raise."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    least = connections + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        most = least if hard == resource.RLIM_INFINITY else min(least, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
