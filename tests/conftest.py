"""What holds for all tests: nothing is looked up on the internet."""

from __future__ import annotations

import os

# Before anything imports litellm, which otherwise fetches its price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
