"""Write a tiny Mistral with random weights for `vllm serve --tokenizer-mode mistral`.

    DIR/bin/python make_tiny_mistral.py OUT

What it says is noise; what it takes is real. Its tokenizer is one that mistral-common ships, so
that the rules of mistral-common judge every conversation: there is no chat template. Run it with
the Python of setup.sh's environment.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import mistral_common
import torch
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from transformers import MistralConfig, MistralForCausalLM

CONTEXT = 8192


def copy_tokenizer(out: Path) -> MistralTokenizer:
    """Copy the tokenizer of Mistral's tool-calling models (v3, tekken) and give it."""
    source = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    # vLLM looks for this very name.
    return MistralTokenizer.from_file(str(shutil.copy(source, out / "tekken.json")))


def make_model(tokenizer: MistralTokenizer) -> MistralForCausalLM:
    """Give a model of two layers."""
    words = tokenizer.instruct_tokenizer.tokenizer
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=words.n_words,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        bos_token_id=words.bos_id,
        eos_token_id=words.eos_id,
    )
    return MistralForCausalLM(config).to(torch.bfloat16)


def main(out: Path) -> None:
    """Write the model and its tokenizer into a directory."""
    out.mkdir(parents=True, exist_ok=True)
    make_model(copy_tokenizer(out)).save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
