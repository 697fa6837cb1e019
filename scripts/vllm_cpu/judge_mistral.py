"""Tell what mistral-common makes of conversations, for any version of its tokenizers.

    DIR/bin/python judge_mistral.py <questions >answers

A question is a line of JSON with `version` ("v1", "v3", "v7", "v11", "v13"), `messages` and
`tools` (or null), as a client of a chat endpoint sends them; the answer is one with the `prompt`,
or with the words in which it was `refused`. Rules are those for serving, the strictest. Run it
with the Python of setup.sh's environment.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import mistral_common
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy, SpecialTokens
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

DATA = Path(mistral_common.__file__).parent / "data"
FILES = {
    "v1": "tokenizer.model.v1",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}
TEKKEN = "tekken_240911.json"


@functools.cache
def tokenizer(version: str) -> MistralTokenizer:
    """Give the tokenizer of a version, which brings the version's validator."""
    if version in FILES:
        return MistralTokenizer.from_file(DATA / FILES[version], mode=ValidationMode.serving)
    # No file of a later version is shipped. The version is a field of the file, and what it decides
    # on is the rules and the format; the format needs the control tokens to be listed.
    tekken = json.loads((DATA / TEKKEN).read_text(encoding="utf-8"))
    tekken["config"]["version"] = version
    tekken["special_tokens"] = [
        {"rank": rank, "token_str": token.value, "is_control": True}
        for rank, token in enumerate(SpecialTokens)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tekken.json"
        file.write_text(json.dumps(tekken), encoding="utf-8")
        return MistralTokenizer.from_file(file, mode=ValidationMode.serving)


def judge(version: str, messages: list[Any], tools: list[Any] | None) -> dict[str, str]:
    """Give the prompt that a conversation becomes, or the words of its refusal."""
    judging = tokenizer(version)
    try:
        request = ChatCompletionRequest.from_openai(messages=messages, tools=tools, model="mistral")
        tokens = judging.encode_chat_completion(request).tokens
    except Exception as error:  # vLLM answers each with a 400 (`renderers/mistral.py`)
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"prompt": text(judging.decode(tokens, special_token_policy=SpecialTokenPolicy.KEEP))}


def text(pieces: str) -> str:
    """Give the text that the pieces of a sentencepiece tokenizer stand for."""
    pieces = re.sub(
        "(?:<0x[0-9A-F]{2}>)+",
        lambda found: bytes.fromhex(re.sub("[<>]|0x", "", found[0])).decode(errors="replace"),
        pieces,
    )
    return pieces.replace("\u2581", " ")


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(judge(**json.loads(line))), flush=True)
