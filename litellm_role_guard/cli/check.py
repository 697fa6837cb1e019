"""`role-guard check`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click

from ..profile.template_profile import TemplateProfile
from ..template.chat_template import ChatTemplate
from .common import (
    BadStart,
    backend_at,
    load_template,
    template_or_backend,
    want_either,
    with_served_model,
)
from .conversation_file import BadConversation, FileConversation, read_conversations
from .verdict import Checked


@click.command()
@click.argument("conversation", type=click.Path(path_type=Path, allow_dash=True))
@template_or_backend
@click.option("--diff", is_flag=True, help="Show the messages before and after the repair.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each conversation.")
@click.pass_context
def check(
    context: click.Context,
    conversation: Path,
    template: Path | None,
    backend: str | None,
    model: str | None,
    api_key: str | None,
    diff: bool,
    as_json: bool,
) -> None:
    """Check whether a conversation would be accepted, and what of it would be lost or read wrong.

    CONVERSATION is a JSON file with a list of messages, or with an object that has `messages` and
    maybe `tools`, like the body of a request; JSON Lines with one of these on each line; or - for
    the standard input. The exit code is 0 where all is fine, 1 where a conversation would be
    refused, lose text or be read wrong, and 2 where nothing can be checked.

    \b
      role-guard check chat.json --template gemma3.jinja --diff
      role-guard check chats.jsonl --backend http://localhost:8000 --json
    """
    want_either(template, backend)
    name = "stdin" if str(conversation) == "-" else str(conversation)
    conversations = _read(conversation, name)
    if backend is not None:
        checks = asyncio.run(_check_with_backend(conversations, backend, model, api_key))
    else:
        checks = asyncio.run(_check_with_file(conversations, load_template(template)))
    if as_json:
        for checked in checks:
            click.echo(json.dumps(checked.as_json(diff=diff), ensure_ascii=False))
    else:
        from rich.console import Console

        from .check_table import print_checks

        print_checks(checks, name, Console(), diff=diff)
    if any(checked.verdict.outcome != "fine" for checked in checks):
        context.exit(1)


def _read(path: Path, name: str) -> list[FileConversation]:
    try:
        with click.open_file(str(path), "rb") as file:
            return read_conversations(file.read(), name)
    except BadConversation as error:
        raise BadStart(f"{name}: {error}") from error
    except OSError as error:
        raise BadStart(f"{name}: {error.strerror}") from error


async def _check_with_file(
    conversations: Sequence[FileConversation], template: ChatTemplate
) -> list[Checked]:
    from .verdict import asking_template, check

    profile, ask = TemplateProfile.learn(template), asking_template(template)
    return [await check(conversation, ask, profile) for conversation in conversations]


async def _check_with_backend(
    conversations: Sequence[FileConversation], url: str, model: str | None, api_key: str | None
) -> list[Checked]:
    from ..backend.errors import LearningFailed
    from ..probing.live import learn_from_backend
    from .verdict import asking_backend, check

    try:
        async with backend_at(url, api_key).reusing_connections() as connected:
            backend = await with_served_model(connected, model)
            profile, ask = await learn_from_backend(backend), asking_backend(backend)
            return [await check(conversation, ask, profile) for conversation in conversations]
    except LearningFailed as error:
        raise BadStart(str(error)) from error
