"""Finding the file that holds a model's chat template: folders, and the Hugging Face cache."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .errors import TemplateInvalid
from .tokenizer_config import read_json_object

NAMES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
"""What a model directory may hold its template in, in transformers' order."""

NAMED_TEMPLATES = "additional_chat_templates"
"""The folder in a model directory for templates beside the default one, a .jinja file each."""

# As huggingface_hub's `validate_repo_id`: an organisation and a name.
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def template_file(source: str | Path) -> Path:
    """Return the file that holds a chat template. Nothing is downloaded.

    Args:
        source: A file; a model directory; a folder of the Hugging Face cache
            (`models--google--gemma-3-12b-it`); or the name of a model that the cache holds
            (`google/gemma-3-12b-it`), where there is no such path.

    Raises:
        OSError: There is no such path, and no such model in the cache.
        TemplateInvalid: The directory holds no template.
    """
    path = Path(source).expanduser()
    if not path.exists() and _REPOSITORY.fullmatch(str(source)):
        path = cached_model(str(source))
    if not path.is_dir():
        return path
    for folder in _snapshots(path) if (path / "snapshots").is_dir() else (path,):
        found = _template_in(folder)
        if found is not None:
            return found
    raise TemplateInvalid(f"{path}: no chat template in this directory")


def cached_model(name: str) -> Path:
    """Return the folder of a model in the Hugging Face cache.

    Args:
        name: The model's name, such as `google/gemma-3-12b-it`.

    Raises:
        FileNotFoundError: The cache does not hold it; the message says where was looked, and
            names the models there that have a name like it.
    """
    cache = hugging_face_cache()
    folder = cache / f"models--{name.replace('/', '--')}"
    if (folder / "snapshots").is_dir():
        return folder
    what = f"no such file, and no such model in the Hugging Face cache {cache}"
    raise FileNotFoundError(errno.ENOENT, what + _like(name, cache), name)


def _like(name: str, cache: Path) -> str:
    there = {
        each.parent.name.removeprefix("models--").replace("--", "/")
        for each in cache.glob("models--*/snapshots")
    }
    # Many leave out whose model it is.
    near = [each for each in sorted(there) if each.rpartition("/")[2] == name]
    near = near or difflib.get_close_matches(name, sorted(there), cutoff=0.8)
    return f"; there is {', '.join(near)}" if near else ""


def hugging_face_cache() -> Path:
    """Return where huggingface_hub keeps models, by the same variables."""
    hub = os.environ.get("HF_HUB_CACHE")
    if hub:
        return Path(hub).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huggingface" / "hub"


def _snapshots(folder: Path) -> Iterator[Path]:
    """Yield a cached model's snapshots: the one that is served by default, then the newest."""
    snapshots = folder / "snapshots"
    try:
        main = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    if main and (snapshots / main).is_dir():
        yield snapshots / main
    others = [each for each in snapshots.iterdir() if each.is_dir() and each.name != main]
    yield from sorted(others, key=lambda each: each.stat().st_mtime, reverse=True)


def _template_in(folder: Path) -> Path | None:
    for name in NAMES:
        file = folder / name
        if file.is_file() and (
            file.suffix == ".jinja" or read_json_object(file).get("chat_template")
        ):
            return file
    # A folder of quantisations of one model, which have the template in common.
    return next(iter(sorted(folder.glob("*.gguf"))), None)
