"""OpenAI's batch input and output, judged by the types of the openai package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openai.types import Completion, CompletionUsage, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.completion_choice import CompletionChoice
from openai.types.create_embedding_response import Usage
from openai.types.embedding import Embedding
from openai.types.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.types import Receive, Scope, Send

from litellm_role_guard import ChatTemplate
from litellm_role_guard.simulator import create_app
from testing.batches import read, role_guard, written
from testing.conversations import user
from testing.serving import serving
from testing.templates import STRICT

MODEL = "m"
USAGE = CompletionUsage(completion_tokens=1, prompt_tokens=2, total_tokens=3)
EMBEDDINGS = CreateEmbeddingResponse(
    data=[Embedding(embedding=[0.5, 1.5], index=0, object="embedding")],
    model=MODEL,
    object="list",
    usage=Usage(prompt_tokens=2, total_tokens=2),
)
COMPLETION = Completion(
    id="cmpl-1",
    choices=[CompletionChoice(finish_reason="stop", index=0, text="and so on")],
    created=0,
    model=MODEL,
    object="text_completion",
    usage=USAGE,
)
TYPES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatCompletion,
    "/v1/embeddings": CreateEmbeddingResponse,
    "/v1/completions": Completion,
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [user("hi"), user("there?")]},
    "/v1/responses": {"input": [user("hi"), user("there?")]},
    "/v1/embeddings": {"input": "hi"},
    "/v1/completions": {"prompt": "once"},
}


class ResponseData(BaseModel):
    """The `response` of a line, as OpenAI's API reference has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status_code: int
    request_id: str
    body: dict[str, Any]


class ErrorData(BaseModel):
    """The `error` of a line."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str
    message: str


class OutputLine(BaseModel):
    """A line of OpenAI's batch output: "The request output object" of the API reference."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    custom_id: str
    response: ResponseData | None
    error: ErrorData | None


class Everything:
    """The simulator, with the two endpoints that it lacks."""

    def __init__(self) -> None:
        self._app = create_app(ChatTemplate.from_path(STRICT), model=MODEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = {"/v1/embeddings": EMBEDDINGS, "/v1/completions": COMPLETION}.get(
            scope.get("path", "")
        )
        if answer is None:
            await self._app(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.model_dump_json().encode()})


def test_each_endpoint_of_a_batch_file_is_answered_in_its_own_form(tmp_path: Path) -> None:
    """The bodies are what the openai package reads, the lines what OpenAI's reference says."""
    lines = [
        {"custom_id": url, "method": "POST", "url": url, "body": {"model": "gpt", **body}}
        for url, body in BODIES.items()
    ]
    bad = {"model": "gpt", "messages": [user("hi")], "max_tokens": -1}
    lines.append({"custom_id": "bad", "method": "POST", "url": "/v1/chat/completions", "body": bad})
    file, out = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    options = ("--max-tokens", 50, "--temperature", 0.5)
    with serving(Everything()) as url:
        result = role_guard("batch", file, out, "--backend", url, *options)
        assert result.exit_code == 1, result.output
        text = tmp_path / "out.txt"
        role_guard("batch", file, text, "--backend", url, *options, "--text-only")
    read_lines = [OutputLine.model_validate_json(json.dumps(line)) for line in read(out)]
    assert [line.custom_id for line in read_lines] == [line["custom_id"] for line in lines]
    assert len({line.id for line in read_lines}) == 5
    for line in read_lines[:-1]:
        assert line.error is None
        assert line.response is not None
        assert line.response.status_code == 200
        assert line.response.request_id or line.custom_id == "/v1/embeddings"
        if line.custom_id == "/v1/responses":
            # As its client reads it: vLLM's usage lacks a field that OpenAI's has by now.
            assert Response.construct(**line.response.body).output_text
        else:
            TYPES[line.custom_id].model_validate(line.response.body)
    failed = read_lines[-1]
    assert failed.response is not None
    assert failed.error is not None
    assert (failed.response.status_code, failed.error.code) == (400, "400")
    said = text.read_text().splitlines()
    assert said[0] == 'I read 1 turn; the last said: "hi\\n\\nthere?"'
    assert said[2:4] == ["[0.5, 1.5]", "and so on"]
