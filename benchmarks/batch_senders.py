"""What people write today to send many lines: measured by benchmarks.batch.

python -m benchmarks.batch_senders openai|litellm FILE PROXY KEY MODEL BOUND
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any


async def with_openai(
    conversations: Sequence[list[Any]], url: str, key: str, model: str, bound: int
) -> int:
    """Send with the openai client and a semaphore; give how many were answered."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, timeout=600)
    semaphore = asyncio.Semaphore(bound)

    async def ask(messages: list[Any]) -> bool:
        async with semaphore:
            reply = await client.chat.completions.create(
                model=model, messages=messages, max_tokens=64
            )
            return reply.choices[0].message.content is not None

    answered = await asyncio.gather(*map(ask, conversations), return_exceptions=True)
    return sum(each is True for each in answered)


async def with_litellm(
    conversations: Sequence[list[Any]], url: str, key: str, model: str, _: int
) -> int:
    """Send with LiteLLM's own batch call, which knows no bound; give how many were answered."""
    from litellm.router import Router
    from litellm.types.utils import ModelResponse

    params = {"model": f"litellm_proxy/{model}", "api_base": url, "api_key": key, "timeout": 600}
    router = Router(model_list=[{"model_name": model, "litellm_params": params}])
    answered = await router.abatch_completion(
        models=[model], messages=list(conversations), max_tokens=64
    )
    return sum(isinstance(reply, ModelResponse) for replies in answered for reply in replies)


SENDERS = {"openai": with_openai, "litellm": with_litellm}


def main() -> None:
    """Send a file's lines, and print what it took as JSON."""
    name, file, url, key, model, bound = sys.argv[1:]
    with open(file) as lines:
        conversations = [json.loads(line)["messages"] for line in lines]
    if name == "litellm":
        import litellm  # noqa: F401 - it takes seconds, which are not the sender's
    began = time.monotonic()
    answered = asyncio.run(SENDERS[name](conversations, url, key, model, int(bound)))
    seconds = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {"answered": answered, "seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}
    print(json.dumps({**told, "mb": usage.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
