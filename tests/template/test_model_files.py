"""A chat template is found where people have it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard import ChatTemplate, TemplateInvalid
from litellm_role_guard.template.model_files import hugging_face_cache

USER = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f"}}
NAME = "google/gemma-3-12b-it"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty Hugging Face cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def snapshot(cache: Path, revision: str, template: str | None, *, age: int = 0) -> Path:
    """Write a snapshot of the model; give the model's folder in the cache."""
    folder = cache / "models--google--gemma-3-12b-it"
    files = folder / "snapshots" / revision
    files.mkdir(parents=True)
    if template is not None:
        (files / "chat_template.jinja").write_text(template)
    os.utime(files, (1_000_000 - age, 1_000_000 - age))
    return folder


def rendered(source: str | Path, **options: Any) -> str:
    """Render a greeting with the template of a source."""
    return ChatTemplate.from_path(source).render(USER, **options)


def test_a_model_is_found_in_the_cache_by_its_name_and_by_its_folder(cache: Path) -> None:
    """Nothing is downloaded: what the cache holds is read."""
    folder = snapshot(cache, "a1", "cached")
    assert rendered(NAME) == rendered(folder) == rendered(folder / "snapshots" / "a1") == "cached"


def test_the_snapshot_that_is_served_is_read_and_else_the_newest(cache: Path) -> None:
    """`refs/main` names what `vllm serve` loads; without it the last download counts."""
    folder = snapshot(cache, "old", "old", age=10)
    snapshot(cache, "new", "new")
    assert rendered(NAME) == "new"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("old\n")
    assert rendered(NAME) == "old"


def test_a_snapshot_without_a_template_is_passed_over(cache: Path) -> None:
    """A download of the weights alone hides no template."""
    snapshot(cache, "old", "whole", age=10)
    snapshot(cache, "new", None)
    assert rendered(NAME) == "whole"


def test_a_model_that_is_not_in_the_cache_is_named_with_the_cache(cache: Path) -> None:
    """The user sees where was looked."""
    with pytest.raises(FileNotFoundError, match=f"{cache}.*{NAME}"):
        ChatTemplate.from_path(NAME)


def test_a_path_wins_over_a_model_of_the_same_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`google/gemma-3-12b-it` may be a folder right here."""
    snapshot(cache, "a1", "cached")
    here = tmp_path / "google" / "gemma-3-12b-it"
    here.mkdir(parents=True)
    (here / "chat_template.jinja").write_text("here")
    monkeypatch.chdir(tmp_path)
    assert rendered(NAME) == "here"


@pytest.mark.parametrize("name", ["../models--google--gemma-3-12b-it", "a/b/c", "google/.."])
def test_no_name_leads_out_of_the_cache(cache: Path, name: str) -> None:
    """What is no model's name is a path, and nothing else."""
    snapshot(cache, "a1", "cached")
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        ChatTemplate.from_path(name)


def test_the_cache_is_where_huggingface_hub_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same variables, in the same order."""
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hugging_face_cache() == Path.home() / ".cache" / "huggingface" / "hub"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert hugging_face_cache() == Path("/x/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/h")
    assert hugging_face_cache() == Path("/h/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/c")
    assert hugging_face_cache() == Path("/c")


def test_a_template_for_tools_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    """transformers writes `additional_chat_templates/tool_use.jinja` beside the default one."""
    (tmp_path / "chat_template.jinja").write_text("plain")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    for source in (tmp_path, tmp_path / "chat_template.jinja"):
        assert (rendered(source), rendered(source, tools=[TOOL])) == ("plain", "tools")


def test_named_templates_may_be_an_object(tmp_path: Path) -> None:
    """A config may hold them by name instead of as a list."""
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": {"default": "plain", "tool_use": "tools"}}))
    assert (rendered(config), rendered(config, tools=[TOOL])) == ("plain", "tools")


def test_named_templates_without_a_default_are_named(tmp_path: Path) -> None:
    """The user sees what is there."""
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": [{"name": "rag", "template": "x"}]}))
    with pytest.raises(TemplateInvalid, match="only templates named rag"):
        ChatTemplate.from_path(config)


def write_gguf(path: Path, *, endian: str = "LITTLE", tokens: int = 3) -> None:
    """Write a GGUF file with templates, as llama.cpp's converter writes it, and no weights."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "gemma3", endianess=gguf.GGUFEndian[endian])
    writer.add_token_list(["<pad>", "<eos>", "<bos>", *map(str, range(3, tokens))])
    writer.add_token_scores([0.0] * tokens)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_bos_token_id(2)
    writer.add_chat_template(
        [
            {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"},
            {"name": "tool_use", "template": "tools"},
        ]
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


@pytest.fixture(params=["LITTLE", "BIG"])
def quantised(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Give a GGUF file, in either order of bytes."""
    path = tmp_path / "model-q4_0.gguf"
    write_gguf(path, endian=request.param)
    return path


def test_a_gguf_file_holds_its_template_and_its_special_tokens(quantised: Path) -> None:
    """Read from the metadata, by the file and by its folder."""
    for source in (quantised, quantised.parent):
        assert rendered(source) == "<bos>hello"
        assert rendered(source, tools=[TOOL]) == "tools"


def test_a_gguf_file_cut_off_anywhere_is_named(tmp_path: Path) -> None:
    """A download that has not ended stops with the file's name, whatever its last byte is."""
    path = tmp_path / "model-q4_0.gguf"
    write_gguf(path)
    whole = path.read_bytes()
    assert ChatTemplate.from_path(path)
    for length in range(len(whole.rstrip(b"\0"))):
        path.write_bytes(whole[:length])
        with pytest.raises(TemplateInvalid, match=r"model-q4_0\.gguf: not a GGUF file"):
            ChatTemplate.from_path(path)


@given(at=st.integers(0, 500), value=st.binary(min_size=1, max_size=12))
def test_a_broken_gguf_file_is_read_or_named(at: int, value: bytes) -> None:
    """Whatever stands in a file, nothing but a clear error comes of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(path)
        data = bytearray(path.read_bytes())
        data[at : at + len(value)] = value
        path.write_bytes(data)
        with contextlib.suppress(TemplateInvalid):
            assert ChatTemplate.from_path(path).text
