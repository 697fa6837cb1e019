"""One backend, asked for everything that the guard's work depends on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ..backend.address import shown_address
from ..backend.backend import Backend
from ..backend.errors import BackendRefused, LearningFailed
from ..backend.identity import TEMPLATE_KEY
from ..backend.prompts import conversation_body
from ..backend.server import RENDER, VllmServer, connected, one_line
from ..config.deployment import PROVIDER, ConfiguredDeployment
from ..config.settings import KEY, DeploymentSettings, GuardSettings
from ..config.yaml_file import KeyPath
from ..probing.live import learn_from_backend
from ..probing.local import learn_from_template
from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .address_faults import find_address_faults
from .backend_of import backend_of
from .coverage import profile_source
from .finding import Finding, Severity, pair
from .settings_faults import is_guarded, settings_of

SECONDS = 10.0
"""How long each answer may take."""

SKEW_SECONDS = 60.0
"""By how much a backend's clock may differ. Its log is hard to read beside the proxy's then."""

_CACHING = re.compile(r'^vllm:cache_config_info\{[^\n]*enable_prefix_caching="(\w+)"', re.MULTILINE)

_HELLO = [{"role": "user", "content": "hello"}]

_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@dataclass
class BackendReport:
    """What a backend says.

    Attributes:
        deployment: The deployment.
        facts: What was found out, by what it is about.
        findings: What is wrong.
    """

    deployment: ConfiguredDeployment
    facts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The deployment, as people name it."""
        address = shown_address(self.deployment.address or "no address")
        return f"{self.deployment.group}: {self.deployment.model} at {address}"


async def examine(deployment: ConfiguredDeployment, settings: GuardSettings) -> BackendReport:
    """Return what the backend of a deployment says. It generates two tokens at most for that.

    Args:
        deployment: The deployment, which has an address.
        settings: The settings of the whole guard.
    """
    report = BackendReport(deployment)
    try:
        report.findings += await find_address_faults(deployment, settings)
        backend = backend_of(deployment) if deployment.is_vllm else None
        if backend is None:
            report.facts["reachable"] = "yes" if report.findings else "not a hosted_vllm deployment"
            return report
        own = settings_of(settings, deployment)
        guards = is_guarded(settings, deployment) and own.mode != "off"
        async with backend.reusing_connections() as open_backend:
            await _Examination(report, own, guards).run(open_backend)
    except LearningFailed as error:
        report.facts.setdefault("reachable", "no")
        report.findings.append(Finding("error", deployment.address_path, str(error)))
    return report


class _Examination:
    def __init__(self, report: BackendReport, settings: DeploymentSettings, guards: bool) -> None:
        self._report = report
        self._settings = settings
        self._guards = guards
        self._facts = report.facts
        self._path = report.deployment.path

    async def run(self, backend: Backend) -> None:
        async with connected(backend, SECONDS) as server:
            if not await self._reaches(server) or not await self._serves(server):
                return
            await self._shown(server)
            renders = await self._rendering(server)
            await self._chats(server)
        await self._profile(backend, renders)

    def _find(self, severity: Severity, path: KeyPath, what: str, write: str = "") -> None:
        self._report.findings.append(Finding(severity, (*self._path, *path), what, write))

    async def _reaches(self, server: VllmServer) -> bool:
        sent = time.time()
        answer = await server.response("/v1/models")
        received = time.time()
        self._facts["reachable"] = f"yes, in {(received - sent) * 1000:.0f} ms"
        self._clock(answer, (sent + received) / 2)
        if answer.status_code not in (401, 403):
            return True
        has_key = self._report.deployment.api_key is not None
        what = f"{server.root} {'refuses this key' if has_key else 'wants an API key'}"
        self._find("error", ("litellm_params", "api_key"), what, "api_key: os.environ/VLLM_API_KEY")
        return False

    async def _serves(self, server: VllmServer) -> bool:
        cards = {str(card["id"]): card for card in await server.models()}
        version = (await server.shown("/version")).get("version")
        self._facts["version"] = str(version) if version else "not told"
        model = server.backend.model
        if model not in cards and "*" not in model:
            names = ", ".join(one_line(name) for name in list(cards)[:5])
            what = f"{server.root} serves no {model!r}, but {names}"
            line = f"model: {PROVIDER}/{next(iter(cards), 'NAME')}"
            self._find("error", ("litellm_params", "model"), what, line)
            self._facts["model"] = f"not served; there are {names}"
            return False
        length = cards.get(model, {}).get("max_model_len")
        self._facts["model"] = f"{model}, {length} tokens" if length else model
        return "*" not in model

    async def _shown(self, server: VllmServer) -> None:
        template = (await server.shown("/tokenizer_info")).get(TEMPLATE_KEY)
        self._facts["template"] = (
            f"shown, {len(template)} characters" if isinstance(template, str) else "not shown"
        )
        caching = _CACHING.search((await server.response("/metrics")).text)
        told = {"True": "on", "False": "off"}.get(caching[1] if caching else "", "not told")
        self._facts["prefix caching"] = told
        if told == "off" and self._settings.routing != "off":
            what = "routed by prefix affinity to a backend that keeps no prefixes"
            line = "vllm serve --enable-prefix-caching"
            self._find("warning", ("litellm_params", "api_base"), what, line)

    async def _rendering(self, server: VllmServer) -> bool:
        body = conversation_body(server.backend, _HELLO)
        tokenize = await _works(lambda: server.tokenize(body))
        render = await _works(lambda: server.post(RENDER, body))
        self._facts["/tokenize"] = "yes" if tokenize else "no"
        self._facts["render endpoint"] = "yes" if render else "no (vllm serve --enable-scale-out)"
        if not (tokenize or render) and self._guards and self._settings.chat_template is None:
            what = (
                f"{server.root} has no /tokenize, so that the guard cannot see what its template "
                "drops, and assumes a strict one"
            )
            line = pair("model_info", {KEY: {"chat_template": "/models/NAME"}})
            self._find("warning", ("model_info", KEY, "chat_template"), what, line)
        return tokenize or render

    async def _chats(self, server: VllmServer) -> None:
        """Ask for one token where LiteLLM would, with tools and without."""
        started = time.perf_counter()
        body = {**conversation_body(server.backend, _HELLO), "max_tokens": 1}
        try:
            await server.post("/v1/chat/completions", body)
            self._facts["chat"] = f"answers, in {(time.perf_counter() - started) * 1000:.0f} ms"
        except BackendRefused as refusal:
            self._facts["chat"] = "refused"
            what = f"{server.root} refuses a single hello: {one_line(str(refusal))}"
            self._find("error", ("litellm_params", "model"), what)
            return
        try:
            await server.post("/v1/chat/completions", {**body, "tools": [_TOOL]})
            self._facts["tools"] = "taken"
        except BackendRefused as refusal:
            needs_parser = "tool choice requires" in str(refusal)
            flags = "no parser (vllm serve --enable-auto-tool-choice --tool-call-parser ...)"
            self._facts["tools"] = flags if needs_parser else f"refused: {one_line(str(refusal))}"

    async def _profile(self, backend: Backend, can_be_asked: bool) -> None:
        name = self._settings.chat_template
        if not can_be_asked:
            self._facts["profile"] = (
                f"from {profile_source(self._settings)}" if name else "cautious"
            )
            return
        started = time.perf_counter()
        live = await learn_from_backend(backend, seconds=SECONDS)
        seconds = time.perf_counter() - started
        self._facts["profile"] = f"{summary(live)} (asked in {seconds:.1f} s)"
        if name is not None and not backend.fields:
            local = learn_from_template(ChatTemplate.from_path(name))
            if _comparable(local) != _comparable(live):
                what = f"{name} is not the template that the backend renders"
                path = (*self._path, "model_info", KEY, "chat_template")
                line = "the path of that template, or no chat_template"
                self._report.findings.append(Finding("warning", path, what, line))

    def _clock(self, answer: httpx.Response, now: float) -> None:
        try:
            # The header's seconds are cut off.
            date = answer.headers.get_list("date")[-1]
            skew = parsedate_to_datetime(date).timestamp() + 0.5 - now
        except (IndexError, ValueError, TypeError):
            self._facts["clock"] = "not told"
            return
        is_right = abs(skew) < 1.5
        ahead = "ahead" if skew > 0 else "behind"
        self._facts["clock"] = "right" if is_right else f"{abs(skew):.0f} s {ahead}"
        if abs(skew) > SKEW_SECONDS:
            what = f"the backend's clock is {abs(skew):.0f} s {ahead} of this machine's"
            self._find("warning", ("litellm_params", "api_base"), what)


def summary(profile: TemplateProfile) -> str:
    """Return what matters most of a profile in a few words."""
    follows, with_tools = profile.follows, profile.rules(tools=True).follows
    answers = {
        "system": profile.leading_system.get("system", "accepted"),
        "user after user": follows.get("user", {}).get("user", "accepted"),
        "later system": follows.get("assistant", {}).get("system", "accepted"),
        "tool results": with_tools.get("user+call", {}).get("tool", "accepted"),
    }
    return ", ".join(f"{shape} {answer.replace('_', ' ')}" for shape, answer in answers.items())


def _comparable(profile: TemplateProfile) -> TemplateProfile:
    # A model that takes no images shows nothing of what its template does with them, and a file
    # alone does not tell the special tokens that stand among the markers.
    with_tools = profile.with_tools and profile.with_tools.model_copy(update={"media": {}})
    without: dict[str, object] = {"media": {}, "turn_markers": (), "round_markers": ()}
    return profile.model_copy(update={**without, "with_tools": with_tools})


async def _works(ask: Callable[[], Any]) -> bool:
    try:
        await ask()
    except LearningFailed:
        return False
    except BackendRefused:
        return True
    return True
