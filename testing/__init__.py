"""What the tests, the benchmarks and the demo share: processes, conversations, laws, engines."""

import os

# Before anything imports LiteLLM, which looks prices up on the internet otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
