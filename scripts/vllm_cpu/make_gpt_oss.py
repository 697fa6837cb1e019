#!/usr/bin/env python3
"""Write a gpt-oss without weights, for `vllm launch render`, which renders it with Harmony.

Its vocabulary is that of o200k_base, which is in the wheel of LiteLLM, under a name of its own:
litellm/litellm_core_utils/tokenizers/fb374d419588a4632f3f557e76b4b70aebbca790

    python make_gpt_oss.py OUT THAT_FILE [TEMPLATE.jinja]
    TIKTOKEN_ENCODINGS_BASE=OUT/encodings vllm launch render OUT --served-model-name gpt-oss
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "experts_per_token": 1,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "initial_context_length": 4096,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"],
    "rms_norm_eps": 1e-05,
    "rope_theta": 150000,
    "tie_word_embeddings": False,
    "eos_token_id": 200002,
    "pad_token_id": 199999,
    "dtype": "bfloat16",
    "swiglu_limit": 7.0,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|startoftext|>",
    "eos_token": "<|return|>",
    "pad_token": "<|endoftext|>",
}
# What o200k_base splits a text by; source: tiktoken_ext/openai_public.py.
PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def main(out: Path, vocabulary: Path, template: Path | None) -> None:
    """Write the configuration, the tokenizer and the vocabulary for Harmony."""
    encodings = out / "encodings"
    encodings.mkdir(parents=True, exist_ok=True)
    ranks = encodings / "o200k_base.tiktoken"
    shutil.copyfile(vocabulary, ranks)
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(encodings)

    from openai_harmony import HarmonyEncodingName, load_harmony_encoding
    from transformers.convert_slow_tokenizer import TikTokenConverter

    harmony = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    converter = TikTokenConverter(str(ranks), pattern=PATTERN, extra_special_tokens=None)
    tokenizer = json.loads(converter.converted().to_str())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"] = [
        {"id": at, "content": harmony.decode([at]), **flags, "special": True}
        for at in range(199998, CONFIG["vocab_size"])
    ]
    (out / "tokenizer.json").write_text(json.dumps(tokenizer))
    (out / "config.json").write_text(json.dumps(CONFIG))
    (out / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
    if template is not None:
        shutil.copyfile(template, out / "chat_template.jinja")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
