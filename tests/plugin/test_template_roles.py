"""A role that OpenAI does not know passes where the deployment's own template knows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import ChatTemplate, RoleGuard
from litellm_role_guard.backend.backend import Backend as Asked
from litellm_role_guard.config.settings import DeploymentSettings
from litellm_role_guard.plugin.request_errors import askable_roles
from litellm_role_guard.plugin.template_roles import BURST, MAX_ANSWERS, TemplateRoles
from litellm_role_guard.simulator import create_app
from testing.clock import Clock
from testing.litellm_calls import REPLY, USER, Backend, ask
from testing.serving import serving

CRITIC = {"role": "critic", "content": "too long"}

SHOWN = "{{ '<' + m.role + '>' + m.content }}"
KNOWS = f"""{{%- for m in messages -%}}
{{%- if m.role == 'critic' -%}}[CRITIC]{{{{ m.content }}}}
{{%- elif m.role in ['user', 'assistant', 'system'] -%}}{SHOWN}
{{%- else -%}}{{{{ raise_exception('Unexpected message role.') }}}}{{%- endif -%}}
{{%- endfor -%}}"""
PRINTS = "{%- for m in messages -%}" + SHOWN + "{%- endfor -%}"
DROPS = "{%- for m in messages if m.role in ['user', 'assistant'] -%}" + SHOWN + "{%- endfor -%}"
AS_USER = """{%- for m in messages -%}
{{ '<reply>' if m.role == 'assistant' else '<user>' }}{{ m.content }}{%- endfor -%}"""
AFTER_REPLIES = (
    """{%- for m in messages -%}
{%- if m.role == 'critic' and (loop.first or loop.previtem.role != 'assistant') -%}
{{ raise_exception('A critic comes after the assistant.') }}{%- endif -%}
{%- if m.role in ['user', 'assistant', 'critic'] -%}"""
    + SHOWN
    + """
{%- else -%}{{ raise_exception('Unexpected message role.') }}{%- endif -%}
{%- endfor -%}"""
)


def local(template: str) -> TemplateRoles:
    """Give the roles of a template that the config names."""
    return TemplateRoles(ChatTemplate(template), Clock())


async def takes(roles: TemplateRoles, *messages: dict[str, Any]) -> bool:
    """Tell whether the role `critic` is known wherever it stands."""
    return await roles.taken(messages, ["critic"], None, 1.0) == {"critic"}


@pytest.mark.parametrize(
    ("template", "known"),
    [(KNOWS, True), (PRINTS, False), (DROPS, False), (AS_USER, False), (AFTER_REPLIES, True)],
    ids=["knows", "prints", "drops", "as user", "after replies"],
)
async def test_a_role_is_known_if_it_is_read_as_no_other_is(template: str, known: bool) -> None:
    """What a template prints for any name, reads as the user's or drops is not known to it."""
    assert await takes(local(template), USER, REPLY, CRITIC) is known


async def test_a_role_is_asked_for_where_it_stands() -> None:
    """A template that takes a role after a reply only is not said to take it elsewhere."""
    roles = local(AFTER_REPLIES)
    assert await takes(roles, USER, REPLY, CRITIC, USER)
    assert not await takes(roles, USER, CRITIC)
    assert not await takes(roles, CRITIC, USER)
    assert not await takes(roles, USER, REPLY, CRITIC, USER, CRITIC)


@pytest.mark.parametrize("live", [False, True], ids=["local", "live"])
async def test_a_known_role_goes_through_untouched(tmp_path: Path, live: bool) -> None:
    """The template gets what the client sent, and a role that it does not know is refused."""
    path = tmp_path / "knows.jinja"
    path.write_text(KNOWS)
    app = create_app(ChatTemplate(KNOWS), model="m")
    guard = RoleGuard(learn_wait=30) if live else RoleGuard(chat_template=str(path))
    with serving(app) as url:
        for role, error in (("critic", False), ("wizard", True)):
            messages = [USER, REPLY, {"role": role, "content": "too long"}, USER]
            arguments: dict[str, Any] = {
                "model": "hosted_vllm/m",
                "api_base": f"{url}/v1",
                "messages": messages,
            }
            if error:
                with pytest.raises(Exception, match=r"role guard: messages\[2\]: unknown role"):
                    await guard.async_pre_call_deployment_hook(arguments, "acompletion")
            else:
                changed = await guard.async_pre_call_deployment_hook(arguments, "acompletion")
                assert (changed or arguments)["messages"] is messages


async def test_a_refused_role_is_told_the_way_out(backend: Backend, guard: RoleGuard) -> None:
    """The 400 names the guard, the message, the fault and the setting that lets it through."""
    with pytest.raises(Exception, match="unknown role") as refused:
        await ask([USER, CRITIC])
    words = str(refused.value)
    assert "role guard: messages[1]: unknown role 'critic'; known are system, developer" in words
    assert "extra_roles: ['critic'] in the deployment's model_info.role_guard" in words


@given(st.text())
def test_no_name_but_a_plain_one_is_asked_for(name: str) -> None:
    """What could be template code, a turn's marker or a line break is refused unasked."""
    body = {"messages": [{"role": name, "content": "x"}]}
    asked = askable_roles(body, "acompletion", DeploymentSettings())
    assert all(
        each.isascii() and each.replace("-", "").replace("_", "").isalnum() for each in asked
    )


async def test_a_client_that_makes_names_up_is_asked_for_no_more_than_some() -> None:
    """Made-up names are rendered so often at once, then no more until time has passed."""
    now: list[float] = [0.0]
    rendered: list[Any] = []
    roles = TemplateRoles(Counting(rendered), lambda: now[0])
    for number in range(10 * BURST):
        await roles.taken([{"role": f"r{number}", "content": "x"}], [f"r{number}"], None, 1.0)
    assert len(rendered) == 2 * BURST
    now[0] += 1000
    assert await takes(roles, USER, CRITIC)


async def test_made_up_names_push_out_nothing_that_is_known() -> None:
    """A role that the template knows stays known without being asked for again."""
    now: list[float] = [0.0]
    rendered: list[Any] = []
    roles = TemplateRoles(Counting(rendered), lambda: now[0])
    assert await takes(roles, USER, CRITIC)
    for number in range(MAX_ANSWERS + 10):
        now[0] += 10
        await roles.taken([{"role": f"r{number}", "content": "x"}], [f"r{number}"], None, 1.0)
    before = len(rendered)
    assert await takes(roles, USER, CRITIC)
    assert len(rendered) == before


async def test_a_request_is_asked_for_few_places_only() -> None:
    """No request has many conversations rendered, however many places it has."""
    rendered: list[Any] = []
    roles = TemplateRoles(Counting(rendered), Clock())
    kinds = ("user", "assistant", "system")
    messages = [
        message
        for before in kinds
        for after in kinds
        for message in ({"role": before, "content": "x"}, CRITIC, {"role": after, "content": "x"})
    ]
    assert not await takes(roles, *messages)
    assert rendered == []


async def test_a_backend_that_cannot_be_asked_is_asked_again_later() -> None:
    """A failure is no answer: the next request asks anew."""
    roles = TemplateRoles(None, Clock())
    dead: Callable[[], Asked | None] = lambda: Asked("d", "http://127.0.0.1:1", "m")  # noqa: E731
    assert await roles.taken([USER, CRITIC], ["critic"], dead, 5.0) == frozenset()
    with serving(create_app(ChatTemplate(KNOWS), model="m")) as url:
        alive = Asked("d", url, "m")
        assert await roles.taken([USER, CRITIC], ["critic"], lambda: alive, 30.0) == {"critic"}


async def test_a_prompt_without_end_is_no_answer() -> None:
    """A client makes up roles, and a backend that means harm would have each compared for long."""
    long = ChatTemplate(KNOWS + "{{ 'critic' * 100000 }}")
    with serving(create_app(long, model="m")) as url:
        roles = TemplateRoles(None, Clock())
        asked = Asked("d", url, "m")
        assert await roles.taken([USER, CRITIC], ["critic"], lambda: asked, 30.0) == frozenset()
        assert not roles._taken
        assert not roles._refused


class Counting(ChatTemplate):
    """The template that knows critics, and notes what it renders."""

    def __init__(self, rendered: list[Any]) -> None:
        super().__init__(KNOWS)
        self._rendered = rendered

    def render(self, messages: Any, **options: Any) -> str:
        """Render, and note it."""
        self._rendered.append(messages)
        return super().render(messages, **options)
