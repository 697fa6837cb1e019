"""The twelve mistakes that used to start in silence: each on a real proxy, with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.forked_proxies import forked_proxies
from testing.processes import waited_for
from testing.proxies import write_config
from testing.serving import serving
from testing.setups import EVERY, good_config, with_mistake
from testing.templates import STRICT

MODEL = "gemma-3-12b"

SEEN = [name for name, mistake in EVERY.items() if mistake.is_seen_at_start]

pytestmark = pytest.mark.slow


class Started(NamedTuple):
    """The folder of a proxy that has been started, and the address of its backend."""

    folder: Path
    backend: str


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Started]]:
    """Start a proxy with each mistake."""
    base = tmp_path_factory.mktemp("mistakes")
    proxies, configs = {}, []
    with serving(create_app(ChatTemplate.from_path(STRICT), model=MODEL)) as url:
        for at, name in enumerate(SEEN):
            folder = base / f"{at}"
            folder.mkdir()
            config = with_mistake(good_config(f"{url}/v1", MODEL), EVERY[name])
            configs.append(write_config(config, folder))
            proxies[name] = Started(folder, url)
        with forked_proxies(configs):
            yield proxies


@pytest.mark.parametrize("name", SEEN)
def test_the_start_says_what_is_wrong_and_the_line_to_write(
    started: dict[str, Started], name: str
) -> None:
    """In the proxy's own log: the key path, what is wrong, the line to write, file and line."""
    mistake, proxy = EVERY[name], started[name]
    log = proxy.folder / "proxy.log"
    line = waited_for(log, f"{mistake.where}: ")
    assert mistake.what in line
    wanted = mistake.write.replace("URL", proxy.backend).replace("MODEL", MODEL)
    assert f"; write {wanted} (config.yaml:" in line or not wanted
    assert "secret" not in line
    if mistake.severity == "fatal":
        assert waited_for(proxy.folder / "exit", "") != "0"
    else:
        assert "role guard 0." in waited_for(log, "; guards ")
