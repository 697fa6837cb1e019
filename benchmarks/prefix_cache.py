"""Prompt tokens that a real vLLM computes again, over conversations that break and go on.

    python -m benchmarks.prefix_cache    writes its part of docs/benchmarks.md (2 minutes)

Every request of each conversation is sent as each contender would send it, to one vLLM that renders
the chat template which the request brings. `cache_salt` keeps the contenders apart, so that all of
them are given the very same texts and none finds what another one has left in the cache.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx

from litellm_role_guard.profile.refusals import is_about_conversation
from testing.proxies import MASTER_KEY, start_proxy
from testing.real_templates import GEMMA_3
from testing.vllm import MODEL, serving_with

from .breaks import BREAKS, Talk, talk
from .page import BENCHMARKS, Target, machine, table, targets, write
from .plot import lines
from .prefix_contenders import CLEAN, CONTENDERS, GUARD, HOISTED, PLACEHOLDERS, Backend, backend

TEMPLATES = {"Gemma 3": "gemma3", "Qwen 3.6": "qwen3_6", "Qwen 2.5": "qwen2_5"}
"""The real templates, files of trl: a strict one, one that takes system text at the front only, and
one that takes it anywhere."""

STRICT = "Gemma 3"
"""The one that the server itself has."""

PLOTTED = ("Gemma 3", "Qwen 3.6")
TARGET = 0.98

CONVERSATIONS = 2
"""Of each break, each with texts of its own."""

# The smallest block that the CPU's attention takes. With sliding windows, what is found in the
# cache depends on the window, too; here it is the common beginning in whole blocks, and no less.
BLOCK = 32
_LAYERS = json.dumps({"layer_types": ["full_attention"] * 2})
OPTIONS = ("--enable-prompt-tokens-details", "--block-size", str(BLOCK), "--hf-overrides", _LAYERS)
CONTEXT = 8192
CONCURRENCY = 4


class Answer(NamedTuple):
    """What a request has cost: its prompt tokens, and how many of them were in the cache."""

    prompt: int
    cached: int


Answers = list[Answer | None]
"""What the requests of one conversation have cost; None for a refused one."""


async def hold(
    client: httpx.AsyncClient, model: str, requests: Talk, salt: str, **more: Any
) -> Answers:
    """Send the requests of one conversation, one after the other.

    Args:
        client: Where to.
        model: Which model to ask.
        requests: The messages of each.
        salt: What keeps this conversation's part of the cache from all others.
        more: What else each request brings.

    Raises:
        RuntimeError: A request failed otherwise than by a refusal, or its answer does not tell.
    """
    answers: Answers = []
    for messages in requests:
        body = {"model": model, "messages": messages, "max_tokens": 1, "cache_salt": salt, **more}
        reply = await client.post("/v1/chat/completions", json=body)
        if reply.status_code == 400 and is_about_conversation(reply.text):
            answers.append(None)
            continue
        if reply.status_code != 200:
            raise RuntimeError(f"{reply.status_code}: {reply.text[:500]}")
        usage = reply.json()["usage"]
        if not usage.get("prompt_tokens_details"):
            raise RuntimeError("this vLLM was started without --enable-prompt-tokens-details")
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        answers.append(Answer(usage["prompt_tokens"], cached or 0))
    return answers


Key = tuple[str, str, str]
"""A template, a break and a contender."""

Seen = dict[Key, list[Answers]]
"""What was seen: the answers of each conversation."""


async def measure(url: str, backends: Mapping[str, Backend]) -> Seen:
    """Hold all conversations; give what was seen.

    Raises:
        RuntimeError: A request failed, or one of a clean conversation was refused.
    """
    run = uuid.uuid4().hex  # a server that was there before has none of it in its cache
    seen: Seen = {}
    free = asyncio.Semaphore(CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:

        async def held(key: Key, number: int) -> Answers:
            name, broken, contender = key
            requests = CONTENDERS[contender](_talk(broken, number), backends[name])
            template = backends[name].source
            async with free:
                salt = f"{run} {key} {number}"
                return await hold(client, MODEL, requests, salt, chat_template=template)

        for name, broken in itertools.product(backends, BREAKS):
            for contender in CONTENDERS:  # all conversations of both at once
                seen[name, broken, contender] = []
            keys = [(name, broken, contender) for contender in CONTENDERS]
            every = [(key, number) for key in keys for number in range(CONVERSATIONS)]
            answers = await asyncio.gather(*(held(key, number) for key, number in every))
            for (key, _), each in zip(every, answers, strict=True):
                if key[2] == CLEAN and None in each:
                    raise RuntimeError(f"{name} refuses a clean conversation: {broken}")
                seen[key].append(each)
            told = "; ".join(f"{key[2]} {tally(seen, [key])}" for key in keys[1:])
            print(f"{name}, {broken}: {told}", flush=True)
    return seen


def _talk(broken: str, number: int) -> Talk:
    return talk(BREAKS[broken], f"{broken} {number}")


class Tally(NamedTuple):
    """Sums over the requests that were answered, beside the clean conversations' same requests.

    Attributes:
        requests: How many were sent.
        answered: How many of them were answered.
        prompt: Prompt tokens.
        cached: Those of them that were found in the cache.
        clean_prompt: Prompt tokens of the clean conversations.
        clean_cached: Those of them that were found in the cache.
    """

    requests: int
    answered: int
    prompt: int
    cached: int
    clean_prompt: int
    clean_cached: int

    @property
    def computed(self) -> int:
        """Prompt tokens that were computed."""
        return self.prompt - self.cached

    @property
    def share(self) -> float:
        """Prompt tokens found in the cache, of all."""
        return self.cached / max(1, self.prompt)

    @property
    def clean_share(self) -> float:
        """The same of the clean conversations."""
        return self.clean_cached / max(1, self.clean_prompt)

    @property
    def reuse(self) -> float:
        """The share found in the cache, of the clean conversations' share."""
        return self.share / max(1e-9, self.clean_share)

    @property
    def cost(self) -> float:
        """Tokens that were computed, of those that the clean conversations computed."""
        return self.computed / max(1, self.clean_prompt - self.clean_cached)

    @property
    def refused(self) -> str:
        """How many were refused, in words; empty where none was."""
        refused = self.requests - self.answered
        return f", {refused} of {self.requests} refused" if refused else ""

    def __str__(self) -> str:
        return f"{self.reuse:.3f} / {self.cost:.2f}{self.refused}"


def tally(seen: Seen, keys: Iterable[Key]) -> Tally:
    """Sum up what was seen of some templates, breaks and contenders."""
    pairs = [
        pair
        for name, broken, contender in keys
        for answers, known in zip(
            seen[name, broken, contender], seen[name, broken, CLEAN], strict=True
        )
        for pair in zip(answers, known, strict=True)
    ]
    both = [(answer, known) for answer, known in pairs if answer and known]
    return Tally(
        len(pairs),
        len(both),
        sum(answer.prompt for answer, _ in both),
        sum(answer.cached for answer, _ in both),
        sum(known.prompt for _, known in both),
        sum(known.cached for _, known in both),
    )


PROXIED = (GUARD, PLACEHOLDERS)


async def measure_proxied(proxy: str) -> Seen:
    """Hold the first conversation of each break through a proxy, which has a group by contender."""
    run = uuid.uuid4().hex
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    seen: Seen = {}
    async with httpx.AsyncClient(base_url=proxy, timeout=120, headers=headers) as client:
        for broken, contender in itertools.product(BREAKS, PROXIED):
            salt = f"{run} {broken} {contender}"
            answers = await hold(client, contender, _talk(broken, 0), salt)
            seen[STRICT, broken, contender] = [answers]
    return seen


def proxy_config(url: str, template: Path) -> dict[str, Any]:
    """Give the config of a proxy in front of the vLLM, for `measure_proxied`."""
    base = {"model": f"hosted_vllm/{MODEL}", "api_base": f"{url}/v1", "api_key": "none"}
    mapped = {"ensure_alternating_roles": True, "supports_system_message": False}
    return {
        "model_list": [
            {
                "model_name": GUARD,
                "litellm_params": base,
                "model_info": {"role_guard": {"chat_template": str(template)}},
            },
            {
                "model_name": PLACEHOLDERS,
                "litellm_params": {**base, **mapped},
                "model_info": {"role_guard": {"mode": "off"}},
            },
        ],
        "litellm_settings": {"callbacks": ["litellm_role_guard.role_guard"]},
        "router_settings": {"num_retries": 0},
    }


def page(seen: Seen, proxied: Seen, told: str) -> str:
    """Give the section of docs/benchmarks.md, and draw its plots."""
    parts = [targets([_target_of_all(seen), _target_of_each(seen)]), told]
    parts += [_totals(seen), _by_break(seen), _told_of_proxy(seen, proxied)]
    parts += [_curves(seen, name) for name in PLOTTED]
    return "\n\n".join(parts)


WANTED = f"{TARGET} of what a clean conversation finds"


def _target_of_all(seen: Seen) -> Target:
    def worst(contender: str) -> tuple[Tally, str]:
        tallies = [(_of_all(seen, name, contender), name) for name in TEMPLATES]
        return min(tallies, key=lambda each: each[0].reuse)

    ours, place = worst(GUARD)
    others = [
        f"{contender} {least.reuse:.3f}{least.refused}"
        for contender in (HOISTED, PLACEHOLDERS)
        for least, _ in [worst(contender)]
    ]
    return Target(
        "prompt tokens found in the prefix cache, all breaks, worst template",
        WANTED,
        f"{ours.reuse:.3f}{ours.refused} ({place}); {'; '.join(others)}",
        ours.reuse >= TARGET and not ours.refused,
    )


def _target_of_each(seen: Seen) -> Target:
    places = itertools.product(TEMPLATES, BREAKS)
    tallies = [(tally(seen, [(*place, GUARD)]), place) for place in places]
    least, (name, broken) = min(tallies, key=lambda each: each[0].reuse)
    return Target(
        "the same, worst break",
        WANTED,
        f"{least.reuse:.3f}{least.refused} ({name}, {broken})",
        least.reuse >= TARGET and not any(each.refused for each, _ in tallies),
    )


def _of_all(seen: Seen, name: str, contender: str) -> Tally:
    return tally(seen, [(name, broken, contender) for broken in BREAKS])


def _totals(seen: Seen) -> str:
    head = ["", "", "answered", "prompt tokens", "computed", "reuse", "computed, of the clean"]
    rows = []
    for name, contender in itertools.product(TEMPLATES, CONTENDERS):
        all_of = _of_all(seen, name, contender)
        rows.append(
            [
                name,
                contender,
                f"{all_of.answered} of {all_of.requests}",
                f"{all_of.prompt:,}",
                f"{all_of.computed:,}",
                f"{all_of.reuse:.3f}",
                f"{all_of.cost:.2f}",
            ]
        )
    return table(head, rows)


def _by_break(seen: Seen) -> str:
    others = [contender for contender in CONTENDERS if contender != CLEAN]
    head = ["reuse / computed, of the clean", "", "clean finds again", *others]
    rows = []
    for name, broken in itertools.product(TEMPLATES, BREAKS):
        share = tally(seen, [(name, broken, CLEAN)]).share
        cells = [str(tally(seen, [(name, broken, contender)])) for contender in others]
        rows.append([name, broken, f"{share:.1%}", *cells])
    return table(head, rows)


def _told_of_proxy(seen: Seen, proxied: Seen) -> str:
    same = [
        one == other
        for key, [answers] in proxied.items()
        for one, other in zip(answers, seen[key][0], strict=True)
    ]
    return (
        f"Through a real proxy, {STRICT}, {' and '.join(PROXIED)}: {sum(same)} of {len(same)} "
        "requests had the same answer, the same prompt tokens and the same tokens from the cache "
        "as those sent straight to the vLLM."
    )


def _curves(seen: Seen, name: str) -> str:
    """Draw what was computed up to each request, of the breaks that all contenders got answered."""
    breaks = [
        broken
        for broken in BREAKS
        if not any(tally(seen, [(name, broken, each)]).refused for each in CONTENDERS)
    ]
    count = len(breaks) * CONVERSATIONS
    series = {}
    for contender in CONTENDERS:
        talks = [answers for broken in breaks for answers in seen[name, broken, contender]]
        spent = [
            sum(answer.prompt - answer.cached for answer in each if answer) / count
            for each in zip(*talks, strict=True)
        ]
        series[contender] = list(enumerate(itertools.accumulate(spent), 1))
    picture = lines(
        f"prefix-cache-{TEMPLATES[name]}",
        series,
        x="requests of a conversation",
        y=f"prompt tokens computed, {name}",
    )
    return f"{picture}\n\nMean of the breaks that all got answered: {', '.join(breaks)}."


def main() -> None:
    """Measure, print, and put the tables and plots into docs/benchmarks.md."""
    if GEMMA_3 is None:
        raise SystemExit("no templates: run scripts/vllm_cpu/fetch_templates.sh")
    told = machine("litellm", "litellm-role-guard")
    paths = {name: GEMMA_3.with_name(f"{file}.jinja") for name, file in TEMPLATES.items()}
    backends = {name: backend(path) for name, path in paths.items()}
    with TemporaryDirectory() as folder:
        print("starting vLLM", flush=True)
        options = ("--max-model-len", str(CONTEXT), *OPTIONS)
        with serving_with(paths[STRICT], Path(folder), *options) as url:
            told = f"vLLM {httpx.get(f'{url}/version').json()['version']}, {told}"
            seen = asyncio.run(measure(url, backends))
            print("the same through a proxy", flush=True)
            with start_proxy(proxy_config(url, paths[STRICT]), Path(folder)) as proxy:
                proxied = asyncio.run(measure_proxied(proxy))
    text = page(seen, proxied, told)
    print(text)
    write("prefix_cache", text, BENCHMARKS)


if __name__ == "__main__":
    main()
