"""The agents that are tried: those of ROLE_GUARD_AGENT_NAMES on ROLE_GUARD_AGENT_MODELS, or all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.agents.clients import CLIENTS
from testing.agents.table import Table
from testing.agents.trap import Trap, trap
from testing.agents.trial import Trial, try_agent
from testing.agents.world import MODELS, World, world
from testing.processes import REPOSITORY

NAMES = os.environ.get("ROLE_GUARD_AGENT_NAMES", "").split() or {each.name for each in CLIENTS}
ON_MODELS = os.environ.get("ROLE_GUARD_AGENT_MODELS", "").split() or MODELS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each agent on each model."""
    if "trial" in metafunc.fixturenames:
        pairs = [
            pytest.param((client, model), id=f"{client}-{model}")
            for client in CLIENTS
            if client.name in NAMES
            for model in ON_MODELS
        ]
        metafunc.parametrize("trial", pairs, indirect=True, scope="session")


@pytest.fixture(scope="session")
def the_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run the backends and both proxies."""
    asks_messages = any(each.endpoint == "messages" for each in CLIENTS if each.name in NAMES)
    folder = tmp_path_factory.mktemp("world")
    with world(folder, ON_MODELS, asks_messages=asks_messages) as running:
        yield running


@pytest.fixture(scope="session")
def the_trap() -> Iterator[Trap]:
    """Catch what an agent asks of other machines."""
    with trap() as running:
        yield running


@pytest.fixture(scope="session")
def the_table() -> Table:
    """Write what was seen into docs/agents.md."""
    return Table(REPOSITORY / "docs" / "agents.md")


@pytest.fixture(scope="session")
def trial(
    request: pytest.FixtureRequest,
    the_world: World,
    the_trap: Trap,
    the_table: Table,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trial:
    """Try one agent on one model."""
    client, model = request.param
    folder: Path = tmp_path_factory.mktemp(f"{client}-{model}")
    tried = try_agent(client, model, the_world, folder, the_trap)
    the_table.add(tried)
    return tried
