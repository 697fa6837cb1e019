"""The simulated model: a tokenizer, a prefix cache, an answer that says what was read, metrics."""

from __future__ import annotations

import codecs
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence

from ..messages.message import Message, texts

BLOCK_SIZE = 16
"""Tokens in a block of the prefix cache, the unit in which prompts are cached."""

CACHE_BLOCKS = 65536
"""Blocks that the prefix cache holds; the least recently used one goes first."""

_PIECE = re.compile(rb" ?[^ \n]{1,3}|[ \n]")
_QUOTED_CHARS = 120


def encode(text: str) -> list[int]:
    """Return a text's tokens: its UTF-8 bytes in pieces of up to four.

    A token's number is its bytes behind a leading 1, which keeps their count. So decoding needs no
    vocabulary.
    """
    pieces = _PIECE.findall(text.encode(errors="replace"))
    return [int.from_bytes(b"\x01" + piece, "big") for piece in pieces]


def decode(tokens: Sequence[int]) -> str:
    """Return the text of tokens; a number that is no token has no text, as in vLLM."""
    return b"".join(map(_bytes_of, tokens)).decode(errors="replace")


def decode_stepwise(tokens: Sequence[int]) -> Iterator[str]:
    """Yield what each token adds to the text; nothing while a character is incomplete."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for position, token in enumerate(tokens, start=1):
        yield decoder.decode(_bytes_of(token), final=position == len(tokens))


def _bytes_of(token: int) -> bytes:
    raw = token.to_bytes(8, "big").lstrip(b"\0")
    return raw[1:] if raw[:1] == b"\x01" and _PIECE.fullmatch(raw[1:]) else b""


class PrefixCache:
    """The blocks of earlier prompts, for finding the cached beginning of a prompt.

    Source: vLLM `v1/core/kv_cache_utils.py`, where a block's hash also covers all before it.
    """

    def __init__(self) -> None:
        self.queries = 0
        self.hits = 0
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def take(self, tokens: Sequence[int]) -> int:
        """Count a prompt, keep its blocks, and return how many of its tokens were cached."""
        found = 0
        missed = False
        above = 0
        for end in range(BLOCK_SIZE, len(tokens) + 1, BLOCK_SIZE):
            above = hash((above, *tokens[end - BLOCK_SIZE : end]))
            # The last token is always computed, since the answer starts from it.
            missed = missed or above not in self._blocks or end == len(tokens)
            found += 0 if missed else BLOCK_SIZE
            self._blocks[above] = None
            self._blocks.move_to_end(above)
        while len(self._blocks) > CACHE_BLOCKS:
            self._blocks.popitem(last=False)
        self.queries += len(tokens)
        self.hits += found
        return found


def answer(messages: Sequence[Message], prompt: str) -> str:
    """Return an answer that says how much of a conversation is in the prompt.

    Args:
        messages: The messages of the request.
        prompt: The rendered prompt.
    """
    read: list[str] = []
    unread: list[str] = []
    for message in messages:
        said = [text.strip() for text in texts(message) if text.strip()]
        if said and all(text in prompt for text in said):
            read.append(said[-1])
        elif said:
            unread.append(str(message["role"]))
    count = f"{len(read)} of {len(read) + len(unread)}" if unread else str(len(read))
    reply = f"I read {count} turn{'' if count == '1' else 's'}"
    if read:
        cut = "..." if len(read[-1]) > _QUOTED_CHARS else ""
        reply += f'; the last said: "{read[-1][:_QUOTED_CHARS]}{cut}"'
    return reply + (f" (never read: {', '.join(unread)})" if unread else "")


class Metrics:
    """The counters behind `/metrics`, under vLLM's names.

    Source: vLLM `v1/metrics/loggers.py`.
    """

    def __init__(self, model: str) -> None:
        self.cache = PrefixCache()
        self.running = 0
        self.finished: Counter[str] = Counter()
        self._model = model
        self._used_tokens = 0

    def begin(self, prompt_tokens: int) -> None:
        """Count a request that is being answered."""
        self.running += 1
        self._used_tokens += prompt_tokens

    def end(self, prompt_tokens: int, finish_reason: str) -> None:
        """Count a request that is over: "stop", "length" or "abort"."""
        self.running -= 1
        self._used_tokens -= prompt_tokens
        self.finished[finish_reason] += 1

    def exposition(self) -> str:
        """Return the metrics in Prometheus' text format 0.0.4."""
        usage = min(1.0, self._used_tokens / (CACHE_BLOCKS * BLOCK_SIZE))
        gauges = {
            "num_requests_running": ("Requests being answered.", float(self.running)),
            "num_requests_waiting": ("Requests waiting; the simulator lets none wait.", 0.0),
            "kv_cache_usage_perc": ("KV cache usage; 1 means 100 percent.", usage),
        }
        counters = {
            "prefix_cache_queries": ("Prompt tokens looked up in the cache.", self.cache.queries),
            "prefix_cache_hits": ("Prompt tokens found in the cache.", self.cache.hits),
        }
        lines = []
        labels = f'engine="0",model_name="{self._model}"'
        for name, (text, value) in gauges.items():
            lines += [f"# HELP vllm:{name} {text}", f"# TYPE vllm:{name} gauge"]
            lines.append(f"vllm:{name}{{{labels}}} {value}")
        for name, (text, total) in counters.items():
            lines += [f"# HELP vllm:{name}_total {text}", f"# TYPE vllm:{name}_total counter"]
            lines.append(f"vllm:{name}_total{{{labels}}} {float(total)}")
        lines.append("# HELP vllm:request_success_total Requests answered.")
        lines.append("# TYPE vllm:request_success_total counter")
        for reason in ("stop", "length", "abort"):
            labels = f'engine="0",finished_reason="{reason}",model_name="{self._model}"'
            lines.append(f"vllm:request_success_total{{{labels}}} {float(self.finished[reason])}")
        return "\n".join(lines) + "\n"
