"""A handful of conversations that tell templates apart: enough to know one again.

A whole profile takes some 170 probes. Where one was kept from before a restart, these few show
whether the backend still renders as it did: each text as it stood then, and each answer as the
profile has it. Of the templates that ship with trl and axolotl, all those with different profiles
differ in what they make of them, but for two pairs that do different things with images alone
(`tests/probing/test_telling.py`). Those are not asked about: a server that has no images refuses
them by itself.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from ..backend.backend import LIMIT_SECONDS, Backend
from ..backend.server import connected
from ..profile.template_profile import TemplateProfile
from .markers import opening_pieces
from .oracle import CONCURRENCY, LiveOracle
from .probe import Probe, Rendering, judge
from .probe_builder import ProbeBuilder, parallel_round


def _telling_probes() -> tuple[Probe, ...]:
    """Return the probes; those with a path have the answer of the profile there on any template.

    Others may stand in a profile otherwise, where further conversations are asked about, too.
    """
    plain = {
        ("follows", "user", "user"): ProbeBuilder("user", "user"),
        ("follows", "start", "system"): ProbeBuilder("system", "user", "assistant", "user"),
        ("leading_system", "system system"): ProbeBuilder("system", "system", "user"),
        ("leading_system", "developer"): ProbeBuilder("developer", "user"),
        ("parts", "system"): ProbeBuilder().parts("system").add("user"),
    }
    opened = ProbeBuilder("assistant", "user")
    late = ProbeBuilder("user", "system", "user", "assistant", "user")
    opening_call = ProbeBuilder("call", "tool", "user")
    return (
        *(builder.probe(False, path) for path, builder in plain.items()),
        opened.probe(False, ()),
        late.probe(False, ()),
        opening_call.probe(True, ()),
        parallel_round(2).probe(False, ()),
    )


TELLING = _telling_probes()


class Signs(NamedTuple):
    """What a backend makes of the telling conversations.

    Attributes:
        renderings: The rendering of each.
    """

    renderings: tuple[Rendering, ...]

    @property
    def fingerprint(self) -> str:
        """The SHA-256, in hex, of the renderings, each from its first mark on.

        What stands before may be the date; only what opens the first turn counts of it.
        """
        said = [
            None if rendering is None else _told(probe, rendering)
            for probe, rendering in zip(TELLING, self.renderings, strict=True)
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def bear_out(self, profile: TemplateProfile) -> bool:
        """Return whether a profile has the answers that these conversations give."""
        return all(
            _agrees(profile, probe, rendering)
            for probe, rendering in zip(TELLING, self.renderings, strict=True)
            if probe.profile_path
        )


async def read_signs(
    backend: Backend, *, seconds: float = LIMIT_SECONDS, concurrency: int = CONCURRENCY
) -> Signs:
    """Return what a running vLLM makes of the telling conversations; no token is generated.

    Args:
        backend: The vLLM.
        seconds: How long each answer may take.
        concurrency: How many requests may be open at once, in a process that is not busy.

    Raises:
        LearningFailed: The backend cannot be reached or asked, or not in time.
    """
    async with connected(backend, seconds) as server:
        oracle = LiveOracle(server, concurrency)
        await oracle.prepare()
        return Signs(tuple(await oracle.read(TELLING)))


def _told(probe: Probe, rendering: str) -> tuple[list[str], str]:
    first = min((rendering.find(mark) for mark in probe.marks if mark in rendering), default=0)
    return opening_pieces(rendering[:first]), rendering[first:].strip()


def _agrees(profile: TemplateProfile, probe: Probe, rendering: Rendering) -> bool:
    field, *keys = probe.profile_path
    known = getattr(profile, field)
    for depth, key in enumerate(keys, start=1):
        known = known.get(key, "accepted" if depth == len(keys) else {})
    found = judge(rendering, probe.marks, probe.unordered_marks)
    # Only a control probe tells an unknown role from an accepted one.
    return bool(found == ("accepted" if known == "unknown" else known))
