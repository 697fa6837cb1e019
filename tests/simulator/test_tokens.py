"""The simulator's tokens and its prefix cache."""

from __future__ import annotations

import httpx
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard.simulator.model import (
    BLOCK_SIZE,
    PrefixCache,
    decode,
    decode_stepwise,
    encode,
)
from litellm_role_guard.template.chat_template import ChatTemplate
from testing.conversations import assistant, system, user
from testing.simulated_chat import CHAT, STRICT, metric


class TestTokens:
    @given(st.text())
    def test_every_text_comes_back(self, text: str) -> None:
        """Decoding a text's tokens gives the text, at once and token by token."""
        assert decode(encode(text)) == text
        assert "".join(decode_stepwise(encode(text))) == text

    @given(st.text(), st.text())
    def test_a_longer_text_keeps_its_tokens(self, text: str, more: str) -> None:
        """All but the last token of a text are the first tokens of every longer one."""
        tokens = encode(text)
        assert encode(text + more)[: max(0, len(tokens) - 1)] == tokens[:-1]

    def test_numbers_that_are_no_tokens(self, client: httpx.Client) -> None:
        """A number that stands for no token is no text, as in vLLM."""
        reply = client.post("/detokenize", json={"tokens": [5, *encode("a b"), 2**62]})
        assert reply.json() == {"prompt": "a b"}

    def test_tokenize_gives_the_prompt(self, client: httpx.Client) -> None:
        """/tokenize and /detokenize together show what the template made of a conversation."""
        messages = [system("S"), user("ü 🙂\n"), assistant("x"), user("y")]
        tokens = client.post("/tokenize", json={"messages": messages}).json()["tokens"]
        prompt = client.post("/detokenize", json={"tokens": tokens}).json()["prompt"]
        assert prompt == ChatTemplate(STRICT).render(messages)


class TestPrefixCache:
    def test_a_growing_prompt_is_found_again(self) -> None:
        """Whole blocks that an earlier prompt began with are hits, what follows is not."""
        cache = PrefixCache()
        assert cache.take(range(BLOCK_SIZE * 3)) == 0
        assert cache.take([*range(BLOCK_SIZE * 3), 7]) == BLOCK_SIZE * 3
        assert cache.take([0, 0, *range(BLOCK_SIZE * 3)]) == 0
        assert (cache.queries, cache.hits) == (BLOCK_SIZE * 9 + 3, BLOCK_SIZE * 3)

    def test_the_last_token_is_always_computed(self) -> None:
        """The same prompt again does not hit with its last block, as in vLLM."""
        cache = PrefixCache()
        cache.take(range(BLOCK_SIZE * 2))
        assert cache.take(range(BLOCK_SIZE * 2)) == BLOCK_SIZE

    def test_metrics_have_vllms_names(self, client: httpx.Client) -> None:
        """/metrics counts prompts, hits and answers under vLLM's names."""
        chat = {"messages": [user("hello " * 40)]}
        count = client.post("/tokenize", json=chat).json()["count"]
        for _ in range(2):
            client.post(CHAT, json=chat)
        assert metric(client, "vllm:prefix_cache_queries_total") == 2 * count
        assert metric(client, "vllm:prefix_cache_hits_total") == (count - 1) // 16 * 16
        assert metric(client, "vllm:request_success_total") == 2
        assert metric(client, "vllm:num_requests_running") == 0
        assert metric(client, "vllm:kv_cache_usage_perc") == 0
