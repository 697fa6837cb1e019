"""Reads inputs of /v1/responses with vLLM's own code, in vLLM's own Python; no server is needed.

`read_by_vllm` starts it: one request a line in as JSON, one answer a line out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from testing.real_templates import HOME


def read_by_vllm(requests: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give what vLLM makes of requests: `messages` and `continued`, or its `error`.

    Args:
        requests: The bodies, each with `input` and `instructions`.
    """
    asked = "".join(json.dumps({"model": "m", **request}) + "\n" for request in requests)
    done = subprocess.run(
        [HOME / "bin" / "python", "-c", _READER],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise RuntimeError("vLLM's own reader failed")
    return [json.loads(line) for line in done.stdout.splitlines()]


_READER = """
import json, logging, sys

logging.disable(logging.CRITICAL)
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.openai.responses.utils import (
    construct_input_messages,
    should_continue_final_message,
)


def plain(value):
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {key: plain(held) for key, held in value.items()}
    if value is None or isinstance(value, (str, int, float)):
        return value
    return [plain(entry) for entry in value]


for line in sys.stdin:
    try:
        request = ResponsesRequest.model_validate(json.loads(line))
        messages = construct_input_messages(
            request_instructions=request.instructions, request_input=request.input
        )
        answer = {
            "messages": plain(messages),
            "continued": should_continue_final_message(request.input),
        }
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    print(json.dumps(answer))
"""
