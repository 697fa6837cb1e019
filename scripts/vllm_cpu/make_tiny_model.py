"""Write a tiny Gemma 3 with random weights that vLLM serves.

    DIR/bin/python make_tiny_model.py OUT CHAT_TEMPLATE.jinja

What it says is noise; what it takes is real, since vLLM renders the given chat template on every
request. Its tokenizer works on bytes, so that every text is one that it can give back. Run it with
the Python of setup.sh's environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

PAD, EOS, BOS = 0, 1, 2
CONTROL_TOKENS = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
CONTEXT = 8192


def make_tokenizer(chat_template: str) -> PreTrainedTokenizerFast:
    """Give a tokenizer of bytes, with Gemma's control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=CONTROL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["user model system user model system"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=CONTROL_TOKENS[PAD],
        eos_token=CONTROL_TOKENS[EOS],
        bos_token=CONTROL_TOKENS[BOS],
        chat_template=chat_template,
    )


def make_model(vocabulary: int) -> Gemma3ForCausalLM:
    """Give a model of two layers."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        sliding_window=512,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=BOS,
    )
    return Gemma3ForCausalLM(config).to(torch.bfloat16)


def main(out: Path, chat_template: Path) -> None:
    """Write the model and its tokenizer into a directory."""
    tokenizer = make_tokenizer(chat_template.read_text(encoding="utf-8"))
    tokenizer.save_pretrained(out)
    # vLLM wants the vocabulary in whole blocks of 64.
    make_model(-(-len(tokenizer) // 64) * 64).save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
