"""`role-guard simulate`."""

from __future__ import annotations

from pathlib import Path

import click

from .common import TEMPLATE_SOURCES, BadStart, load_template


@click.command()
@click.option(
    "--chat-template",
    "--template",
    "chat_template",
    type=click.Path(path_type=Path),
    help=f"The template to render: {TEMPLATE_SOURCES}.  [default: a strict one that ships with the "
    "package]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 for a free one.",
)
@click.option(
    "--model", default="simulated", show_default=True, help="The name of the served model."
)
@click.option(
    "--max-model-len",
    type=click.IntRange(min=1),
    default=32768,
    show_default=True,
    help="The context length, in tokens.",
)
@click.option(
    "--trust-request-chat-template",
    is_flag=True,
    help="Let a request bring its own chat template.",
)
@click.option(
    "--enable-auto-tool-choice",
    is_flag=True,
    help='Take tools without `tool_choice: "none"`. They are rendered, never called.',
)
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds to the first token.",
)
@click.option(
    "--tokens-per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="Speed of an answer.  [default: all at once]",
)
def simulate(
    chat_template: Path | None,
    host: str,
    port: int,
    model: str,
    max_model_len: int,
    trust_request_chat_template: bool,
    enable_auto_tool_choice: bool,
    latency: float,
    tokens_per_second: float | None,
) -> None:
    """Serve a vLLM look-alike over a real chat template.

    It refuses what a vLLM with this template refuses, in the same words, and answers the rest by
    telling what the model would have read. POST /control makes it fail, GET /control/requests
    shows what it received.

    \b
      role-guard simulate --chat-template gemma3.jinja --port 8001
      curl localhost:8001/control -H 'content-type: application/json' -d '{"fault": "hang"}'
    """
    template = load_template(chat_template)
    try:
        from ..simulator import create_app, serve
    except ImportError as error:  # FastAPI and uvicorn come with the proxy
        needed = "pip install 'litellm-role-guard[proxy]', in a checkout '.[proxy]'"
        raise BadStart(f"simulate needs {error.name}: {needed}") from error
    app = create_app(
        template,
        model=model,
        max_model_len=max_model_len,
        trust_request_chat_template=trust_request_chat_template,
        enable_auto_tool_choice=enable_auto_tool_choice,
        latency=latency,
        tokens_per_second=tokens_per_second,
    )
    try:
        serve(app, host=host, port=port, on_ready=lambda url: click.echo(f"{model} at {url}/v1"))
    except OSError as error:
        raise BadStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
