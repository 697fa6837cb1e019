"""Measurements that write pages of docs/."""

import os

# Before anything imports LiteLLM, which looks prices up on the internet otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
