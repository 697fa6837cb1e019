"""Learning from a template that a backend has sent, in a process of its own that can be ended.

Jinja's sandbox keeps a template from the machine's files, and not from its time and its memory: a
loop, or a text times a billion, would stay in a thread for good. The process has limits of both,
none of this one's environment, and answers in JSON, of which no more is believed than of a backend.

    python -m litellm_role_guard.probing.isolated < tokenizer_info.json
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .evidence import ProbeRecorder
from .probe import Probe, Rendering

LONGEST_SECONDS = 10.0
"""How long the process may take, its start included, which takes it half a second. A template is
learnt in a tenth of that."""


MAX_MEMORY_BYTES = 2**30
"""How much memory it may address; a Python process has some 100 MB."""


MAX_BYTES = 16 * 2**20
"""How long its answer may be. That of the longest of 77 real templates has two million."""


class Learnt(BaseModel):
    """What was learnt from a template.

    Attributes:
        profile: The profile.
        renderings: The probes and what the template made of them.
    """

    profile: TemplateProfile
    renderings: list[tuple[Probe, Rendering]]


async def learn_isolated(shown: Mapping[str, Any]) -> Learnt | None:
    """Return what a template says in a process of its own; None where it says nothing in time.

    Args:
        shown: What a backend shows of its tokenizer, the template among it.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except OSError:  # no process to be had: the backend itself answers all probes
        return None
    try:
        answer = await asyncio.wait_for(_answer(process, shown), LONGEST_SECONDS)
        return Learnt.model_validate_json(answer)
    except (asyncio.TimeoutError, OSError, ValidationError):
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def _answer(process: asyncio.subprocess.Process, shown: Mapping[str, Any]) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(shown).encode())
    await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while piece := await process.stdout.read(2**16):
        answer += piece
        if len(answer) > MAX_BYTES:
            return b""
    return bytes(answer)


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows, where the time limit must do
        return
    seconds = int(LONGEST_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Learn from the template on the standard input; write what was learnt, or nothing."""
    _limit()
    template = ChatTemplate.from_config(json.load(sys.stdin))
    recorder = ProbeRecorder()
    profile = recorder.learn(template)
    learnt = Learnt(profile=profile, renderings=recorder.renderings)
    sys.stdout.write(learnt.model_dump_json())


if __name__ == "__main__":
    main()
