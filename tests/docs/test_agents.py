"""docs/agents.md tells people to set all that the runs behind its table have set."""

from __future__ import annotations

import pytest

from testing.agents import claude_code, codex, opencode
from testing.processes import REPOSITORY

PAGE = (REPOSITORY / "docs" / "agents.md").read_text()
CONFIG = codex.CONFIG.format(model="gemma3", url="http://localhost:4000").splitlines()
VARIABLES = (*claude_code.MODELS, *claude_code.QUIET, *opencode.QUIET)


@pytest.mark.parametrize("setting", [*filter(None, CONFIG), *VARIABLES])
def test_each_setting_of_the_runs_is_on_the_page(setting: str) -> None:
    """Each line of the config of Codex, and each variable of Claude Code and of OpenCode."""
    assert setting in PAGE
