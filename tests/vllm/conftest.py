"""Real vLLM servers on the CPU, one a session: the real Gemma 3 template, and Mistral's rules.

The workers of a parallel run (`-n 2`) share the server that most of the tests ask; each of the
others is asked by one file only, and so by one worker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from testing.asked_backend import at
from testing.judged_by_vllm import Ask, Judge
from testing.real_templates import GEMMA_3, REAL, name
from testing.vllm import MISTRAL, MODEL, LoggedVllm, Model, gemma, serving
from testing.vllm_render import is_there, rendering_harmony, rendering_templates

SHARED = "ROLE_GUARD_VLLM_URL"


def pytest_configure(config: pytest.Config) -> None:
    """Start what the workers of a parallel run share, before there are any."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not config.getoption("numprocesses", None) or SHARED in os.environ:
        return
    assert GEMMA_3 is not None, "no templates; `make test-vllm` fetches them"
    started = ExitStack()
    config.add_cleanup(started.close)
    folder = Path(started.enter_context(TemporaryDirectory()))
    url, _ = started.enter_context(serving(gemma(GEMMA_3), folder))
    os.environ[SHARED] = url


def _given_or_started(
    variable: str, start: Callable[[], AbstractContextManager[str]]
) -> Iterator[str]:
    """Yield the address in an environment variable, or that of a server started for it."""
    given = os.environ.get(variable)
    if given:
        yield given.rstrip("/")
        return
    with start() as url:
        yield url


@contextmanager
def _served(model: Model, folders: pytest.TempPathFactory, folder: str) -> Iterator[str]:
    with serving(model, folders.mktemp(folder)) as (url, _):
        yield url


def _rendering_folder(folders: pytest.TempPathFactory) -> Path:
    if not is_there():
        pytest.skip("this vLLM has no `launch render`")
    return folders.mktemp("rendering")


@pytest.fixture(scope="session")
def gemma_3() -> Path:
    """The real template of Gemma 3."""
    assert GEMMA_3 is not None, "no templates; `make test-vllm` fetches them"
    return GEMMA_3


@pytest.fixture(scope="session")
def vllm_url(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM: the one in ROLE_GUARD_VLLM_URL, or one started here."""
    start = partial(_served, gemma(gemma_3), tmp_path_factory, "vllm")
    yield from _given_or_started(SHARED, start)


@pytest.fixture(scope="session")
def ask(vllm_url: str) -> Ask:
    """How a real vLLM reads a template of trl's, by the template's name; learnt from it once."""

    @cache
    def judge(template: str) -> Judge:
        (path,) = (each for each in REAL if name(each) == f"trl-{template}")
        return Judge(at(vllm_url, model=MODEL, fields={"chat_template": path.read_text()}))

    return judge


@pytest.fixture(scope="module")
def vllm_pair(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of two that nobody else asks meanwhile, whose caches hold what they are asked.

    Those in ROLE_GUARD_FIRST_VLLM_URL and ROLE_GUARD_SECOND_VLLM_URL, or started here.
    """
    starts = [
        partial(_served, gemma(gemma_3), tmp_path_factory, folder) for folder in ("first", "second")
    ]
    for first in _given_or_started("ROLE_GUARD_FIRST_VLLM_URL", starts[0]):
        for second in _given_or_started("ROLE_GUARD_SECOND_VLLM_URL", starts[1]):
            yield first, second


@pytest.fixture(scope="session")
def logged_vllm(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggedVllm]:
    """A vLLM that logs its prompts: that of ROLE_GUARD_LOGGED_VLLM ("URL LOG"), or a new one."""
    given = os.environ.get("ROLE_GUARD_LOGGED_VLLM")
    if given:
        url, log = given.split(maxsplit=1)
        yield LoggedVllm(url.rstrip("/"), Path(log))
        return
    # At this level vLLM reads a request's parts for the log before it validates them, and takes
    # malformed ones. What is compared with the simulator needs a server without it.
    loud = gemma(gemma_3, "--enable-log-requests", VLLM_LOGGING_LEVEL="DEBUG")
    with serving(loud, tmp_path_factory.mktemp("logged")) as (url, path):
        yield LoggedVllm(url, path)


@pytest.fixture(scope="session")
def mistral_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM in Mistral mode: ROLE_GUARD_MISTRAL_VLLM_URL, or one started here."""
    options = ("--tokenizer-mode", "mistral")
    model = Model(MISTRAL, ("make_tiny_mistral.py",), options, {})
    start = partial(_served, model, tmp_path_factory, "mistral")
    yield from _given_or_started("ROLE_GUARD_MISTRAL_VLLM_URL", start)


@pytest.fixture(scope="session")
def oracle_url(gemma_3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `vllm launch render`: ROLE_GUARD_RENDER_VLLM_URL, or one started here."""

    def start() -> AbstractContextManager[str]:
        return rendering_templates(gemma_3, _rendering_folder(tmp_path_factory))

    yield from _given_or_started("ROLE_GUARD_RENDER_VLLM_URL", start)


@pytest.fixture(scope="session")
def harmony_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one that renders Harmony: ROLE_GUARD_HARMONY_VLLM_URL, or a new one."""

    def start() -> AbstractContextManager[str]:
        return rendering_harmony(_rendering_folder(tmp_path_factory))

    yield from _given_or_started("ROLE_GUARD_HARMONY_VLLM_URL", start)
