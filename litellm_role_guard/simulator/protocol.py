"""vLLM's request models and error bodies.

The models hold the fields that shape a prompt or an answer; every other field is ignored, as in
vLLM. Messages are validated against the same OpenAI types, so that a malformed one is refused in
the same words. Checked against vLLM 0.32.0 (`entrypoints/openai/*/protocol.py`,
`entrypoints/serve/exception_handling`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
from openai.types.chat import ChatCompletionMessageFunctionToolCallParam as ToolCallParam
from openai.types.responses import ResponseInputItemParam, ResponseOutputItem
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from starlette.requests import Request
from typing_extensions import Required, TypedDict

from .input_items import completed

_REPORTED_ERRORS = 10
_ERROR_INPUT_CHARS = 200
_ERROR_CHARS = 1000
_INT64_MAX = 2**63 - 1
# Parts of pydantic's error locations that name no field of the request.
_UNNAMED = {"str", "int", "float", "bool", "list", "dict", "TokenizeText", "TokenizeChat"}


class Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """A request that vLLM answers with an error.

    Args:
        message: The error's words.
        status: The HTTP status.
        kind: The error's `type`.
        param: The request's field at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "BadRequestError",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    @classmethod
    def field(cls, message: str, param: str, value: object = None) -> Refused:
        """Return the refusal of one field; like vLLM, it ends with the field's name and value."""
        shown = f"parameter={param}" + ("" if value is None else f", value={value}")
        return cls(f"{message} ({shown})", param=param)

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        message = str(self).strip()
        error = {"message": message, "type": self.kind, "param": self.param, "code": self.status}
        return {"error": error}


class CustomChatCompletionMessageParam(TypedDict, total=False):
    """A message in a role that OpenAI does not know; the template decides about it."""

    role: Required[str]
    content: str | list[ChatCompletionContentPartParam | str]
    name: str
    tool_call_id: str | None
    tool_calls: list[ToolCallParam] | None
    reasoning: str | None
    tools: list[dict[str, Any]] | None
    task: str | None


class Message(BaseModel):
    """The form of gpt-oss, which vLLM's union of messages ends with."""

    author: dict[str, Any]
    content: list[dict[str, Any]] = []


AnyMessage = ChatCompletionMessageParam | CustomChatCompletionMessageParam | Message


class ModelRequest(BaseModel):
    """A request to a model."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None


class StreamOptions(BaseModel):
    """What a streamed chat answer says about its usage."""

    include_usage: bool | None = False


class Function(BaseModel):
    """The function of a tool definition."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A tool definition."""

    type: Literal["function"] = "function"
    function: Function


class NamedFunction(BaseModel):
    """The name in a tool choice."""

    name: str


class NamedTool(BaseModel):
    """A tool choice that names the tool."""

    function: NamedFunction
    type: Literal["function"] = "function"


class _Sampling(ModelRequest):
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = Field(default=None, ge=-(2**63), le=_INT64_MAX)
    stop: str | list[str] | None = []

    def check_sampling(self, max_tokens: int | None, choices: int = 1) -> None:
        """Refuse values that vLLM's `SamplingParams` refuses, in its order."""
        if choices < 1:
            raise Refused(f"n must be at least 1, got {choices}.")
        for name in ("presence_penalty", "frequency_penalty"):
            penalty = getattr(self, name)
            if penalty is not None and not -2 <= penalty <= 2:
                raise Refused(f"{name} must be in [-2, 2], got {penalty}.")
        if self.temperature is not None and self.temperature < 0:
            refusal = f"temperature must be non-negative, got {self.temperature}."
            raise Refused.field(refusal, "temperature", self.temperature)
        if self.temperature is not None and self.temperature > 2:
            refusal = f"temperature must be in [0, 2], got {self.temperature}."
            raise Refused.field(refusal, "temperature", self.temperature)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            refusal = f"top_p must be in (0, 1], got {self.top_p}."
            raise Refused.field(refusal, "top_p", self.top_p)
        if max_tokens is not None and max_tokens < 1:
            refusal = f"max_tokens must be at least 1, got {max_tokens}."
            raise Refused.field(refusal, "max_tokens", max_tokens)


class RenderedRequest(ModelRequest):
    """A request whose messages become a prompt."""

    messages: list[AnyMessage]
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: list[Tool] | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_prompt(cls, body: Any) -> Any:
        both = ("continue_final_message", "add_generation_prompt")
        if isinstance(body, dict) and all(body.get(key) for key in both):
            raise Refused("Cannot set both `{}` and `{}` to True.".format(*both))
        return body

    @model_validator(mode="after")
    def _list_tool_calls(self) -> RenderedRequest:
        # Pydantic validates an Iterable only while it is read, so a bad call shows up here.
        for message in self.messages:
            calls = None if isinstance(message, Message) else message.get("tool_calls")
            if calls is not None:
                cast(dict[str, Any], message)["tool_calls"] = list(cast(Iterable[Any], calls))
        return self

    def conversation(self) -> list[Mapping[str, Any]]:
        """Return the messages with their parts read; only now does pydantic validate those."""
        return [_with_parts_read(message) for message in self.messages]

    def tool_definitions(self) -> list[dict[str, Any]] | None:
        """Return the tools as the template sees them."""
        return None if self.tools is None else [tool.model_dump() for tool in self.tools]


def _with_parts_read(message: AnyMessage) -> Mapping[str, Any]:
    if isinstance(message, Message):
        raise Refused("'Message' object is not subscriptable")
    content = message.get("content")
    if content is None or isinstance(content, (str, list)):
        return message
    try:
        return {**message, "content": list(content)}
    except ValidationError as error:
        raise Refused(str(error)) from error


class ChatRequest(RenderedRequest, _Sampling):
    """A request to `/v1/chat/completions`."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = "none"
    echo: bool = False
    reasoning_effort: str | None = None
    documents: list[dict[str, str]] | None = None
    return_prompt_text: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_body(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        try:
            iter(body.get("messages", []))
        except TypeError as error:  # vLLM walks over the messages before it looks at their type
            raise Refused(str(error)) from error
        messages = body.get("messages")
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict) and message.get("reasoning_content") is not None:
                message.setdefault("reasoning", message["reasoning_content"])
        _check_tool_choice(body)
        if body.get("top_logprobs") and not body.get("logprobs"):
            refusal = "when using `top_logprobs`, `logprobs` must be set to true."
            raise Refused.field(refusal, "top_logprobs")
        if body.get("stream_options") and not body.get("stream"):
            refusal = "Stream options can only be defined when `stream=True`."
            raise Refused.field(refusal, "stream_options")
        form = body.get("response_format")
        wanted = form if isinstance(form, dict) else {}
        if wanted.get("type") == "json_schema" and wanted.get("json_schema") is None:
            refusal = "When response_format type is 'json_schema', the 'json_schema' field "
            raise Refused.field(refusal + "must be provided.", "response_format")
        return body


def _check_tool_choice(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools == []:
        refusal = "`tools` must not be an empty array. Either provide at least one tool or omit "
        raise Refused.field(refusal + "the field entirely.", "tools")
    choice = body.setdefault("tool_choice", "auto") if tools else body.get("tool_choice")
    if choice in (None, "none"):
        return
    if tools is None:
        raise Refused.field("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        refusal = f"Invalid value for `tool_choice`: {choice}! Only named tools, "
        refusal += '"none", "auto" or "required" are supported.'
        raise Refused.field(refusal, "tool_choice")


class TokenizeChat(RenderedRequest):
    """A request to `/tokenize` with a conversation."""

    return_token_strs: bool | None = False


class TokenizeText(ModelRequest):
    """A request to `/tokenize` with a text."""

    prompt: str
    return_token_strs: bool | None = False


class DetokenizeRequest(ModelRequest):
    """A request to `/detokenize`."""

    tokens: list[Annotated[int, Field(ge=0, le=_INT64_MAX)]]


class ResponsesRequest(_Sampling):
    """A request to `/v1/responses`."""

    input: str | list[ResponseInputItemParam | ResponseOutputItem]
    instructions: str | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    background: bool | None = False
    stream: bool | None = False
    metadata: dict[str, str] | None = None
    tools: list[dict[str, Any]] = []
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, body: Any) -> Any:
        """Fill in what vLLM fills in before it validates, so that it may be left out."""
        if not isinstance(body, dict):
            return body
        if not body.get("tools"):
            body = {**body, "tool_choice": "none"}
        if isinstance(body.get("input"), list):
            body = {**body, "input": [completed(item) for item in body["input"]]}
        return body


_Body = TypeVar("_Body")


async def read_body(request: Request, form: TypeAdapter[_Body]) -> _Body:
    """Return a request's body as a request model.

    Args:
        request: The request.
        form: The adapter of the model.

    Raises:
        Refused: The body is not JSON or does not fit the model.
    """
    raw = await request.body()
    if request.headers.get("content-type", "").lower().split(";")[0] != "application/json":
        media = "Unsupported Media Type: Only 'application/json' is allowed"
        raise Refused(f"1 validation error:\n  {media}", kind="Bad Request")
    if not raw:
        missing = {"type": "missing", "loc": (), "msg": "Field required", "input": None}
        raise _invalid([missing])
    try:
        body = json.loads(raw)
    except json.JSONDecodeError as error:
        broken = {"type": "json_invalid", "loc": (error.pos,), "msg": "JSON decode error"}
        raise _invalid([{**broken, "input": {}, "ctx": {"error": error.msg}}]) from error
    try:
        return form.validate_python(body, from_attributes=True)
    except ValidationError as error:
        raise _invalid([dict(fault) for fault in error.errors(include_url=False)]) from error


def _invalid(faults: list[dict[str, Any]]) -> Refused:
    label = "error" if len(faults) == 1 else "errors"
    lines = [f"{len(faults)} validation {label}:"]
    for fault in faults[:_REPORTED_ERRORS]:
        fault = {**fault, "loc": _path(fault["loc"]), "input": _shown(fault["input"])}
        line = str(fault)
        lines.append("  " + line[:_ERROR_CHARS] + "...[truncated]" * (len(line) > _ERROR_CHARS))
    if len(faults) > _REPORTED_ERRORS:
        lines.append(f"  ...and {len(faults) - _REPORTED_ERRORS} more {label}")
    return Refused("\n".join(lines), kind="Bad Request", param=_path(faults[0]["loc"]))


def _path(location: tuple[str | int, ...]) -> str:
    names = (str(name) for name in ("body", *location))
    return ".".join(name for name in names if name not in _UNNAMED and not set(name) & set("[({"))


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple, set, frozenset, Mapping)):
        return f"<{type(value).__name__} of {len(value)} items>"
    text = str(value)
    return text[:_ERROR_INPUT_CHARS] + "...[truncated]" * (len(text) > _ERROR_INPUT_CHARS)
