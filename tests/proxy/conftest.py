"""One proxy with the guard and one without, in front of the same simulated backends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.managed import CRITICS, managed
from testing.processes import simulator
from testing.proxied import (
    LENIENT,
    ROUTER,
    STRICT,
    Backend,
    Proxy,
    late_system_models,
    model_list,
)
from testing.proxies import start_proxy
from testing.serving import serving
from testing.templates import NEVER


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the proxy with the guard."""
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="session")
def backends(folder: Path) -> Iterator[dict[str, Backend]]:
    """Run two strict backends, one that takes everything and one that refuses everything."""
    never = folder / "never.jinja"
    never.write_text(NEVER)
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(simulator(folder, template))
            for name, template in (
                ("a", STRICT),
                ("b", STRICT),
                ("lenient", LENIENT),
                ("never", never),
            )
        }
        yield {name: Backend(url) for name, url in urls.items()}


@pytest.fixture(autouse=True)
def _forget(backends: dict[str, Backend]) -> None:
    for backend in backends.values():
        backend.forget()


@pytest.fixture(scope="session")
def late_backends() -> Iterator[dict[str, Backend]]:
    """Run a strict backend and one that reads every role, each with a model's name of its own.

    What LiteLLM is told of a model holds for all deployments with its name.
    """
    with ExitStack() as stack:
        yield {
            name: Backend(
                stack.enter_context(serving(create_app(ChatTemplate.from_path(path), model=name)))
            )
            for name, path in (("strict", STRICT), ("lenient", LENIENT))
        }


@pytest.fixture(scope="session")
def proxy(
    backends: dict[str, Backend], late_backends: dict[str, Backend], folder: Path
) -> Iterator[Proxy]:
    """Run a proxy with the guard."""
    shutil.copy(Path(__file__).with_name("probe.py"), folder)
    config = {
        "model_list": [*model_list(backends), *late_system_models(late_backends)],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard", "probe.probe"]},
        "router_settings": ROUTER,
    }
    with start_proxy(config, folder) as url:
        yield Proxy(url)


@pytest.fixture(scope="session")
def bare_proxy(
    backends: dict[str, Backend], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """Run a proxy with the same deployments and without the plugin."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copy(Path(__file__).with_name("probe.py"), folder)
    config = {
        "model_list": model_list(backends),
        "litellm_settings": {"callbacks": ["probe.probe"]},
        "router_settings": ROUTER,
    }
    with start_proxy(config, folder) as url:
        yield Proxy(url)


@pytest.fixture(scope="session")
def managed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the proxy that an admin has set up."""
    return tmp_path_factory.mktemp("managed")


@pytest.fixture(scope="session")
def critics(managed_folder: Path) -> Iterator[Backend]:
    """Run a backend whose template knows critics."""
    template = managed_folder / "critics.jinja"
    template.write_text(CRITICS)
    with simulator(managed_folder, template) as url:
        yield Backend(url)


@pytest.fixture(scope="session")
def managed_proxy(
    backends: dict[str, Backend], critics: Backend, managed_folder: Path
) -> Iterator[Proxy]:
    """Run a proxy with keys of its own, JSON logs and credentials in addresses."""
    with managed(backends["a"], critics, managed_folder) as proxy:
        yield proxy
