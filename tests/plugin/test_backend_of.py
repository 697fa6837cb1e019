"""How a backend is asked: its ids, its credential and its headers."""

from __future__ import annotations

import pytest
from litellm.types.utils import CredentialItem

from litellm_role_guard.plugin.backend_of import backend_of
from litellm_role_guard.plugin.litellm_internals import named_by_backend


def test_litellms_response_ids_hold_the_backends() -> None:
    """A backend's own id is given for itself, and so is what is no id at all."""
    from litellm.responses.utils import ResponsesAPIRequestUtils

    wrapped = ResponsesAPIRequestUtils._build_responses_api_response_id("p", "m", "resp_1")
    assert named_by_backend(wrapped) == "resp_1"
    for own in ("resp_1", "", "resp_", "resp_%%%", "x" * 1000):
        assert named_by_backend(own) == own


def test_a_backend_is_asked_with_its_named_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM itself looks the address and the key up only after its hooks."""
    credential = CredentialItem(
        credential_name="gpus",
        credential_info={},
        credential_values={"api_base": "http://gpu-0:8000/v1", "api_key": "a key"},
    )
    monkeypatch.setattr("litellm.credential_list", [credential])
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", "http://another:1/v1")
    kwargs = {"model": "hosted_vllm/gemma3", "litellm_credential_name": "gpus"}
    backend = backend_of(kwargs, "gemma3", kwargs)
    assert backend is not None
    assert (backend.url, backend.api_key) == ("http://gpu-0:8000/v1", "a key")
    assert "api_base" not in kwargs


def test_a_backend_is_asked_with_all_of_a_deployments_headers() -> None:
    """LiteLLM takes them under two names."""
    own = {"headers": {"x-a": "1"}, "extra_headers": {"x-b": "2"}}
    kwargs = {"model": "hosted_vllm/gemma3", "api_base": "http://gpu-0:8000/v1"}
    backend = backend_of(kwargs, "gemma3", own)
    assert backend is not None
    assert backend.headers == {"x-a": "1", "x-b": "2"}
