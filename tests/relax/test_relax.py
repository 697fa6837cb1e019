"""A relaxed template renders what the original renders of the repaired conversation."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

from litellm_role_guard.cli.main import main
from litellm_role_guard.messages.validation import find_validation_error
from litellm_role_guard.probing.probe import TOOLS
from litellm_role_guard.profile.template_profile import TemplateProfile
from litellm_role_guard.relax.relax import NotRelaxable, relax
from litellm_role_guard.repair.chain import repair
from litellm_role_guard.simulator import create_app
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.cases import CASES
from testing.conversations import Message, assistant, calls, developer, result, system, user
from testing.forged_labels import hostile
from testing.further_cases import FURTHER
from testing.laws import Conversation, conversations
from testing.learnt import learnt
from testing.media import IMAGE, PART
from testing.media import conversation as with_media
from testing.real_templates import REAL, name
from testing.relaxed import as_known, expected, relaxed, rendered
from testing.serving import serving
from testing.size import SIZE, examples, some
from testing.templates import OURS, STRICT

SOUND = [case for case in CASES + FURTHER if find_validation_error(case.messages) is None]

# What vLLM does not hand to a template, and where a repair shows it.
LOST_BEFORE = {
    "refusal": "the refusal is left out",
    "call-with-bad-arguments": "malformed arguments became {}",
    "empty-arguments": "no arguments became {}",
    "tool-parts": "the parts of a tool's result became one string",
}

PATHS = some([*OURS, *REAL])
CASES_SHARE = 4
"""A quick run puts every fourth case to a template, and others to the next one."""

each_template = pytest.mark.parametrize("path", PATHS, ids=name)


@cache
def made(path: Path) -> tuple[ChatTemplate, TemplateProfile, ChatTemplate]:
    """Give a template, its profile, and its relaxed template."""
    template, profile = learnt(path)
    return template, profile, relaxed(template, profile)


@cache
def lost_before(path: Path) -> set[str]:
    """Give the names of the cases of which a text is lost before this template is rendered."""
    template, profile, _ = made(path)
    lost = set()
    for case in SOUND:
        known = as_known(template, case.messages)
        sent = repair(case.messages, profile).messages
        if as_known(template, sent) != as_known(template, repair(known, profile).messages):
            lost.add(case.name)
    return lost


@pytest.mark.slow
def test_every_exemption_is_needed() -> None:
    """Of each case in `LOST_BEFORE` something is lost before at least one template, and of none
    beside them."""
    assert set().union(*map(lost_before, PATHS)) == LOST_BEFORE.keys()


@each_template
def test_every_case_is_rendered_as_its_repair(path: Path) -> None:
    """With tools and without, equal to the last character, refusals included."""
    template, profile, lenient = made(path)
    different = set()
    cases = SOUND[PATHS.index(path) % CASES_SHARE :: CASES_SHARE] if SIZE == "quick" else SOUND
    for case in cases:
        known = as_known(template, case.messages)
        for tools in (None, TOOLS):
            prompt = rendered(lenient, case.messages, tools=tools)
            if prompt != expected(template, profile, known, tools=tools):
                different.add(case.name)
    assert len(SOUND) >= 50
    assert different == set()


@each_template
@given(conversation=conversations(rough=True), tools=st.sampled_from([None, TOOLS]))
@examples(quick=2, full=6)
def test_every_conversation_is_rendered_as_its_repair(
    path: Path, conversation: Conversation, tools: Any
) -> None:
    """Whatever the order of roles, with contents, calls and results missing."""
    assume(find_validation_error(conversation.messages) is None)
    template, profile, lenient = made(path)
    known = as_known(template, conversation.messages)
    assume(find_validation_error(known) is None)
    prompt = rendered(lenient, conversation.messages, tools=tools)
    assert prompt == expected(template, profile, known, tools=tools)


@each_template
@given(conversation=hostile(), tools=st.sampled_from([None, TOOLS]))
@examples(quick=1, full=6)
def test_labels_in_client_text_are_inert_alike(
    path: Path, conversation: Conversation, tools: Any
) -> None:
    """Whole or in pieces, in texts, names and arguments."""
    template, profile, lenient = made(path)
    known = as_known(template, conversation.messages)
    assume(find_validation_error(known) is None)
    prompt = rendered(lenient, known, tools=tools)
    assert prompt == expected(template, profile, known, tools=tools)


@each_template
def test_the_original_stands_in_it_untouched(path: Path) -> None:
    """To its last character, and a server gives it the contents in the same form."""
    template, _, lenient = made(path)
    assert lenient.text.endswith(template.text)
    assert lenient.content_format == template.content_format


@pytest.mark.parametrize(
    "text",
    [
        "\n\n{{ messages[0].content }}\n",
        "  {% if true %}\n  x\n{% endif %}",
        " {{- bos_token }} y ",
        "",
    ],
)
def test_white_space_at_the_edges_stays(text: str) -> None:
    """Where the original begins or ends with some, or is empty, the same is rendered."""
    template = ChatTemplate(text)
    lenient = relaxed(template, TemplateProfile())
    assert lenient.render([user("hello")]) == template.render([user("hello")])


@pytest.mark.parametrize("path", [path for path in REAL if "gemma3" in path.stem], ids=name)
@pytest.mark.parametrize("before", [[], [user("one")], [system("rules"), user("one")]])
def test_a_prefill_is_left_open(path: Path, before: list[Message]) -> None:
    """The reply's opening stays the end of the prompt, and what stands before it is repaired."""
    template, profile, lenient = made(path)
    messages = [*before, user("two"), assistant("It is")]
    prompt = rendered(lenient, messages, prefill=True)
    assert prompt == expected(template, profile, messages, prefill=True)
    assert prompt.endswith("It is")


@pytest.mark.slow
@pytest.mark.parametrize("path", REAL, ids=name)
def test_images_stand_where_the_guard_puts_them(path: Path) -> None:
    """In every kind of message, beside one text, two or none."""
    template, profile, lenient = made(path)
    for kind in ("user", "tool", "system", "late system", "assistant"):
        for given_parts in ([IMAGE], [IMAGE, PART], [PART, IMAGE]):
            messages = with_media(kind, *given_parts)
            wanted = ChatTemplate(template.text).render(repair(messages, profile).messages)
            # vLLM itself joins the parts for some templates, with another blank between them.
            assert lenient.render(messages).split() == wanted.split()


def test_images_keep_their_place() -> None:
    """Joined turns stay lists of parts, in order."""
    template = ChatTemplate(
        "{% for m in messages %}{% if loop.index is even and m.role == 'user' %}"
        "{{ raise_exception('alternate') }}{% endif %}<{{ m.role }}>"
        "{% for part in m.content %}{{ part.text or '[' + part.type + ']' }}|{% endfor %}"
        "{% endfor %}"
    )
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages: list[Message] = [
        {"role": "user", "content": [{"type": "text", "text": "this"}, image]},
        {"role": "user", "content": [image, {"type": "text", "text": "and that"}]},
        user("differ"),
    ]
    profile = TemplateProfile.learn(template)
    prompt = relaxed(template, profile).render(messages)
    assert prompt == template.render(repair(messages, profile).messages)
    assert "this|[image]|[image]|and that\n\ndiffer|" in prompt


def test_new_call_ids_are_those_of_the_repair() -> None:
    """Nine letters and digits, the same for a call and its result, and none twice."""
    template = ChatTemplate("{{ messages | tojson }}")
    profile = TemplateProfile(
        long_call_ids="refused", long_result_ids="refused", repeated_call_ids="not_read"
    )
    messages = [
        user("a"),
        *(calls("chatcmpl-tool-é0123456789"), result("chatcmpl-tool-é0123456789", "b")),
        *(calls("chatcmpl-tool-é0123456789"), result("chatcmpl-tool-é0123456789", "c")),
        *(calls("call00001"), result("call00001", "d")),
    ]
    known = as_known(template, messages)
    assert relaxed(template, profile).render(messages) == expected(template, profile, known)


def test_it_comes_out_the_same_each_time_and_says_how_it_was_made() -> None:
    """The comment at its top names the tool, the file and its hash, and no time."""
    template, profile, _ = made(STRICT)
    text = relax(template, profile, source="strict.jinja")
    assert text == relax(template, profile, source="strict.jinja")
    head = text.partition("-#}")[0]
    assert "made by role-guard relax" in head
    assert "strict.jinja" in head
    assert hashlib.sha256(template.text.encode()).hexdigest() in head


def test_a_comment_in_the_file_s_name_ends_no_comment() -> None:
    """The name is shown in a comment, which it must not close."""
    template, profile, _ = made(STRICT)
    text = relax(template, profile, source="a#}{{ 1/0 }}.jinja")
    assert ChatTemplate(text).render([user("hello")]) == template.render([user("hello")])


def test_a_relaxed_template_is_not_relaxed_again() -> None:
    """It would be repaired twice, by rules that were learnt of the repaired one."""
    _, profile, lenient = made(STRICT)
    with pytest.raises(NotRelaxable, match="already"):
        relax(lenient, profile, source="relaxed.jinja")


def test_two_templates_are_not_made_one() -> None:
    """A tokenizer's config may hold a second one for tools; a file for vLLM holds one."""
    template = ChatTemplate("{{ messages }}", tool_use="{{ tools }}")
    with pytest.raises(NotRelaxable, match="tools"):
        relax(template, TemplateProfile(), source="tokenizer_config.json")


def test_the_command_writes_the_template_of_a_file(tmp_path: Path) -> None:
    """`role-guard relax TEMPLATE -o OUT`; the file then serves what it is made for."""
    out = tmp_path / "relaxed.jinja"
    done = CliRunner().invoke(main, ["relax", str(STRICT), "-o", str(out)])
    assert (done.exit_code, done.output) == (0, "")
    prompt = ChatTemplate.from_path(out).render([user("one"), developer("two"), user("three")])
    assert "one\n\n[Developer message]\ntwo\n\n[User message]\nthree" in prompt


@pytest.mark.parametrize("given", ["model", "model/chat_template.jinja"])
def test_the_command_does_not_write_over_its_template(tmp_path: Path, given: str) -> None:
    """The original would be lost: nothing makes it of a relaxed one."""
    original = tmp_path / "model" / "chat_template.jinja"
    original.parent.mkdir()
    original.write_text(STRICT.read_text())
    done = CliRunner().invoke(main, ["relax", str(tmp_path / given), "-o", str(original)])
    said = f"Error: {original}: is the template itself; write to another file\n"
    assert (done.exit_code, done.output) == (2, said)
    assert original.read_text() == STRICT.read_text()


def test_the_command_takes_a_backend_that_shows_its_template(tmp_path: Path) -> None:
    """At /tokenizer_info, as vLLM with --enable-tokenizer-info-endpoint; one line where not."""
    template, _, _ = made(STRICT)
    out = tmp_path / "relaxed.jinja"
    with serving(_shows(template)) as url:
        done = CliRunner().invoke(main, ["relax", "--backend", url, "-o", str(out)])
        assert (done.exit_code, done.output) == (0, "")
        assert url in out.read_text().partition("-#}")[0]
        assert out.read_text().endswith(template.text)
    with serving(create_app(template, model="strict")) as url:
        done = CliRunner().invoke(main, ["relax", "--backend", url, "-o", str(out)])
    assert done.exit_code == 2
    assert "--enable-tokenizer-info-endpoint" in done.output


def _shows(template: ChatTemplate) -> Any:
    app = create_app(template, model="strict")
    app.add_api_route("/tokenizer_info", lambda: {"chat_template": template.text})
    return app


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "x"], "give one of TEMPLATE, --hf-cache and --backend"),
        (["nothing.jinja", "-o", "x"], "nothing.jinja"),
        (["--backend", "http://127.0.0.1:9", "-o", "x"], "127.0.0.1:9"),
        ([str(STRICT), "-o", "/no/such/folder/x"], "/no/such/folder/x"),
    ],
)
def test_a_bad_start_is_one_clear_line(arguments: list[str], said: str) -> None:
    """Exit code 2, and the reason."""
    done = CliRunner().invoke(main, ["relax", *arguments])
    assert done.exit_code == 2
    assert said in done.output.splitlines()[-1]


def test_the_command_takes_a_model_of_the_hugging_face_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--hf-cache NAME` reads what is there, and writes to the standard output by default."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    files = tmp_path / "models--google--gemma-3-12b-it" / "snapshots" / "a1"
    files.mkdir(parents=True)
    (files / "chat_template.jinja").write_text(STRICT.read_text())
    done = CliRunner().invoke(main, ["relax", "--hf-cache", "google/gemma-3-12b-it"])
    assert done.exit_code == 0
    assert "from google/gemma-3-12b-it (sha256 " in done.output
    missing = CliRunner().invoke(main, ["relax", "--hf-cache", "mistralai/Mistral-7B"])
    assert missing.exit_code == 2
    assert f"no such model in the Hugging Face cache {tmp_path}\n" in missing.output
    for near in "gemma-3-12b-it", "google/gemma-3-4b-it", "Google/gemma-3-12b-it":
        said = CliRunner().invoke(main, ["relax", "--hf-cache", near]).output
        assert said.endswith(f"cache {tmp_path}; there is google/gemma-3-12b-it\n")


@pytest.mark.parametrize("named", ["default", "tool_use"])
def test_the_command_relaxes_each_of_two_templates(tmp_path: Path, named: str) -> None:
    """`--named` says which; without it the error says so."""
    config = tmp_path / "tokenizer_config.json"
    texts = {"default": f"plain{STRICT.read_text()}", "tool_use": f"tools{STRICT.read_text()}"}
    config.write_text(json.dumps({"chat_template": texts}))
    done = CliRunner().invoke(main, ["relax", str(config), "--named", named])
    assert done.exit_code == 0
    assert done.output.endswith(texts[named])
    both = CliRunner().invoke(main, ["relax", str(config)])
    assert (both.exit_code, "--named tool_use" in both.output) == (2, True)
