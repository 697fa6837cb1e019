"""A chat template is loaded from what people have, and rendered as vLLM renders it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_role_guard import ChatTemplate, TemplateInvalid, TemplateRefused

USER = [{"role": "user", "content": "hello"}]


def render(text: str, messages: list[dict[str, Any]] = USER, **kwargs: Any) -> str:
    """Render messages with a template given as text."""
    return ChatTemplate(text).render(messages, **kwargs)


def test_a_refusal_has_the_templates_own_words() -> None:
    """And those of Jinja where the template fails by accident."""
    with pytest.raises(TemplateRefused, match=r"^Roles must alternate!$"):
        render("{{ raise_exception('Roles must alternate!') }}")
    with pytest.raises(TemplateRefused, match="has no attribute"):
        render("{{ messages[0].nothing.at_all }}")


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    """What a template from the internet tries is refused."""
    with pytest.raises(TemplateRefused, match="unsafe"):
        render("{{ messages.__class__.__mro__ }}")


def test_blocks_are_trimmed_and_loops_can_be_left() -> None:
    """`trim_blocks`, `lstrip_blocks` and loop controls are on."""
    text = (
        "  {% for m in [1, 2] %}\n{% if m == 2 %}\n{% break %}\n{% endif %}\n{{ m }}\n{% endfor %}"
    )
    assert render(text) == "1\n"


def test_generation_tags_and_the_date_are_known() -> None:
    """Transformers' extension and its function are there."""
    assert render("{% generation %}x{% endgeneration %}") == "x"
    assert render("{{ strftime_now('%Y') }}").isdigit()


def test_tojson_takes_all_its_arguments_and_escapes_nothing() -> None:
    """It is `json.dumps`, not Jinja's filter for HTML."""
    text = "{{ {'b': '<é>', 'a': 1} | tojson(sort_keys=true, separators=(',', ':'), indent=none) }}"
    assert render(text) == '{"a":1,"b":"<é>"}'


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "string"),
        ("{% for m in messages %}{% for p in m['content'] %}{% endfor %}{% endfor %}", "openai"),
        (
            "{% set rest = messages[1:] %}{% for m in rest %}"
            "{% for p in m.content %}{% endfor %}{% endfor %}",
            "openai",
        ),
        (
            "{% for m in messages %}{% for p in m.content | list %}{% endfor %}{% endfor %}",
            "openai",
        ),
        (
            "{% macro show(c) %}{% for p in c %}{% endfor %}{% endmacro %}"
            "{% for m in messages %}{{ show(m.content) }}{% endfor %}",
            "openai",
        ),
        ("{% for m in messages %}{% for t in m.tool_calls %}{% endfor %}{% endfor %}", "string"),
        (
            # vLLM gives up where the messages go anywhere but into a plain variable.
            "{% set ns = namespace(all=none) %}{% set ns.all = messages %}"
            "{% for m in messages %}{% for p in m.content %}{% endfor %}{% endfor %}",
            "string",
        ),
    ],
)
def test_the_content_format_is_read_off_the_syntax_tree(text: str, form: str) -> None:
    """A loop over a message's content tells that the template reads parts."""
    assert ChatTemplate(text).content_format == form


def test_contents_come_in_the_form_that_the_template_reads() -> None:
    """Parts are joined by a line break for the one kind, strings wrapped for the other."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}]
    assert render("{{ messages[0].content }}", parts) == "a\nb"
    loop = "{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}"
    assert render(loop, parts) == "<a><b>"
    assert render(loop) == "<hello>"
    empty: list[dict[str, Any]] = [{"role": "user", "content": None}]
    assert render("[{{ messages[0].content }}]", empty) == "[]"


def test_tool_arguments_are_parsed() -> None:
    """A template reads a mapping; what is no JSON object becomes an empty one."""
    text = "{{ messages[0].tool_calls[0].function.arguments }}"
    for arguments, seen in (('{"a": 1}', "{'a': 1}"), ("{", "{}"), ("[1]", "{}"), (None, "{}")):
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
        assert render(text, messages) == seen


def test_an_unknown_developer_is_folded_into_the_system_message() -> None:
    """vLLM does so for templates that never name the role, and moves all system text along."""
    messages = [*USER, {"role": "developer", "content": "Be brief."}]
    roles = "{% for m in messages %}{{ m.role }}:{{ m.content }} {% endfor %}"
    assert render(roles, messages) == "system:Be brief. user:hello "
    assert render(roles + "{# 'developer' #}", messages) == "user:hello developer:Be brief. "


def test_a_final_message_can_be_left_open() -> None:
    """What comes after a prefill is cut off."""
    text = "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    messages = [*USER, {"role": "assistant", "content": "Sure, "}]
    rendered = render(text, messages, add_generation_prompt=False, continue_final_message=True)
    assert rendered == "<hello><Sure, "


def test_messages_are_not_changed_by_rendering() -> None:
    """A template sees copies."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    before = json.dumps(messages)
    render("{{ messages }}", messages)
    assert json.dumps(messages) == before


def test_a_template_is_found_in_a_file_a_tokenizer_config_and_a_model_directory(
    tmp_path: Path,
) -> None:
    """With the special tokens that stand beside it."""
    text = "{{ bos_token }}{{ messages[0].content }}"
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": text, "bos_token": {"content": "<bos>"}}))
    assert ChatTemplate.from_path(config).render(USER) == "<bos>hello"
    assert ChatTemplate.from_path(tmp_path).render(USER) == "<bos>hello"
    (tmp_path / "chat_template.jinja").write_text(text + "!")
    assert ChatTemplate.from_path(tmp_path).render(USER) == "<bos>hello!"
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "my.jinja").write_text(text)
    assert ChatTemplate.from_path(alone / "my.jinja").render(USER) == "hello"


def test_a_named_template_for_tools_is_used_with_tools(tmp_path: Path) -> None:
    """As transformers chooses among several."""
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": named}))
    template = ChatTemplate.from_path(config)
    tool = {"type": "function", "function": {"name": "f"}}
    assert (template.render(USER), template.render(USER, tools=[tool])) == ("plain", "tools")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """Missing, empty of templates, not JSON, or not compiling: the message holds the path."""
    with pytest.raises(OSError, match=r"missing\.jinja"):
        ChatTemplate.from_path(tmp_path / "missing.jinja")
    with pytest.raises(TemplateInvalid, match=str(tmp_path)):
        ChatTemplate.from_path(tmp_path)
    for name, text in (
        ("a.jinja", "{% if %}"),
        ("b.json", "{"),
        ("c.json", "{}"),
        ("d.json", "[]"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(TemplateInvalid, match=name):
            ChatTemplate.from_path(tmp_path / name)
