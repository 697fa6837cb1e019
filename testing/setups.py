"""Set-ups of a proxy with one mistake each, and what the guard says of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

CALLBACK = "litellm_role_guard.role_guard"
UNSET = "ROLE_GUARD_TESTS_UNSET"

Config = dict[str, Any]


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        make: Makes it in a good config, whose backend serves `MODEL` at the given address.
        where: The key path that the line names.
        what: Words of the line.
        write: The line to write instead.
        severity: What becomes of it.
        is_seen_at_start: Whether the guard is loaded all the same, and says so at the start.
        is_asked: Whether only the backend's answer shows it.
    """

    make: Callable[[Config], None]
    where: str
    what: str
    write: str
    severity: str = "warning"
    is_seen_at_start: bool = True
    is_asked: bool = False


def good_config(address: str, model: str) -> Config:
    """Give a config with which nothing is wrong.

    Args:
        address: The address of the backend, with `/v1`.
        model: What it serves.
    """
    return {
        "model_list": [
            {
                "model_name": "gemma3",
                "litellm_params": {"model": f"hosted_vllm/{model}", "api_base": address},
                "model_info": {"role_guard": {"separator": " "}},
            }
        ],
        "litellm_settings": {"callbacks": [CALLBACK]},
        "callback_settings": {"role_guard": {"mode": "repair"}},
    }


def with_mistake(config: Mapping[str, Any], mistake: Mistake) -> Config:
    """Give a config with a mistake in it."""
    broken = copy.deepcopy(dict(config))
    mistake.make(broken)
    return broken


def _first(config: Config) -> Config:
    entry: Config = config["model_list"][0]
    return entry


def _params(config: Config) -> Config:
    params: Config = _first(config)["litellm_params"]
    return params


def _model_groups(groups: list[str]) -> Callable[[Config], None]:
    return lambda config: config["callback_settings"]["role_guard"].update(model_groups=groups)


def _move(section: str | None, key: str = "role_guard") -> Callable[[Config], None]:
    def make(config: Config) -> None:
        settings = config.pop("callback_settings")["role_guard"]
        place = config if section is None else config.setdefault(section, {})
        place[key] = settings

    return make


def _bare_in_model_info(config: Config) -> None:
    _first(config)["model_info"] = {"learn": False, "mode": "observe"}


def _beside_params(config: Config) -> None:
    _first(config)["role_guard"] = _first(config).pop("model_info")["role_guard"]


def _in_params(config: Config) -> None:
    _params(config)["role_guard"] = _first(config).pop("model_info")["role_guard"]


def _by_another_provider(config: Config) -> None:
    _first(config).pop("model_info")
    _params(config)["model"] = _params(config)["model"].replace("hosted_vllm/", "openai/")
    _params(config)["api_key"] = "none"


def _callbacks(key: str, value: Any) -> Callable[[Config], None]:
    def make(config: Config) -> None:
        config["litellm_settings"] = {key: value}

    return make


_LINE = f'callbacks: ["{CALLBACK}"]'

THE_TWELVE: Mapping[str, Mistake] = {
    "model_groups that match nothing": Mistake(
        _model_groups(["gemma-3"]),
        "callback_settings.role_guard.model_groups[0]",
        "'gemma-3' matches no model group",
        "model_groups: [gemma3]",
    ),
    "role_guard at the top level": Mistake(
        _move(None),
        "role_guard",
        "not read here",
        "callback_settings: {role_guard: {mode: repair}} at the top level",
    ),
    "role_guard in litellm_settings": Mistake(
        _move("litellm_settings"),
        "litellm_settings.role_guard",
        "not read here",
        "callback_settings: {role_guard: {mode: repair}} at the top level",
    ),
    "role_guard in litellm_params": Mistake(
        _in_params,
        "model_list[0].litellm_params.role_guard",
        "not read here, and sent to the backend with every request",
        "model_info: {role_guard: {separator: ' '}} beside litellm_params",
    ),
    "role_guard beside litellm_params": Mistake(
        _beside_params,
        "model_list[0].role_guard",
        "not read here",
        "model_info: {role_guard: {separator: ' '}} beside litellm_params",
    ),
    "settings bare in model_info": Mistake(
        _bare_in_model_info,
        "model_list[0].model_info.learn",
        "not read here, settings of the guard (learn, mode)",
        "model_info: {role_guard: {learn: false, mode: observe}}",
    ),
    "success_callback in place of callbacks": Mistake(
        _callbacks("success_callback", [CALLBACK]),
        "litellm_settings.success_callback[0]",
        "the guard does nothing here",
        f"litellm_settings: {{{_LINE}}}",
        "error",
    ),
    "api_base without /v1": Mistake(
        lambda config: _params(config).update(
            api_base=_params(config)["api_base"].removesuffix("/v1")
        ),
        "model_list[0].litellm_params.api_base",
        "answers under /v1 only, so that every request gets a 404",
        "api_base: URL/v1",
        "error",
        is_asked=True,
    ),
    "a variable that is not set": Mistake(
        lambda config: _params(config).update(api_key=f"os.environ/{UNSET}"),
        "model_list[0].litellm_params.api_key",
        f"the variable {UNSET} is not set",
        f"export {UNSET}=...",
    ),
    "a vLLM as openai/": Mistake(
        _by_another_provider,
        "model_list[0].litellm_params.model",
        "and is not guarded",
        "model: hosted_vllm/MODEL",
        is_asked=True,
    ),
    "the same callback twice": Mistake(
        _callbacks("callbacks", [CALLBACK, CALLBACK]),
        "litellm_settings.callbacks[1]",
        "the guard stands here twice",
        f"{_LINE}, once",
    ),
    "an empty api_base": Mistake(
        lambda config: _params(config).update(api_base=f"os.environ/{UNSET}"),
        "model_list[0].litellm_params.api_base",
        f"the variable {UNSET} is not set, and HOSTED_VLLM_API_BASE is not set either: LiteLLM "
        "would send the chats to api.openai.com",
        f"export {UNSET}=http://gpu-0:8000/v1",
        "fatal",
    ),
}

FURTHER: Mapping[str, Mistake] = {
    "role_gaurd": Mistake(
        _move("callback_settings", "role_gaurd"),
        "callback_settings.role_gaurd",
        "not read by anybody, since the key is role_guard",
        "callback_settings: {role_guard: {mode: repair}} at the top level",
    ),
    "callback_settings misspelt": Mistake(
        lambda config: config.update(callbacks_settings=config.pop("callback_settings")),
        "callbacks_settings.role_guard",
        "not read here",
        "callback_settings: {role_guard: {mode: repair}} at the top level",
    ),
    "callback_settings in litellm_settings": Mistake(
        lambda config: config["litellm_settings"].update(
            callback_settings=config.pop("callback_settings")
        ),
        "litellm_settings.callback_settings.role_guard",
        "not read here",
        "callback_settings: {role_guard: {mode: repair}} at the top level",
    ),
    "a group in another case": Mistake(
        _model_groups(["Gemma3"]),
        "callback_settings.role_guard.model_groups[0]",
        "'Gemma3' matches no model group, since upper and lower case differ",
        "model_groups: [gemma3]",
    ),
    "one of two groups": Mistake(
        _model_groups(["gemma*", "qwen"]),
        "callback_settings.role_guard.model_groups[1]",
        "'qwen' matches no model group",
        "model_groups: [gemma3]",
    ),
    "settings bare in callback_settings": Mistake(
        lambda config: config.update(callback_settings={"mode": "observe"}),
        "callback_settings.mode",
        "not read here, a setting of the guard",
        "callback_settings: {role_guard: {mode: observe}} at the top level",
    ),
    "settings bare in litellm_params": Mistake(
        lambda config: _params(config).update(learn=False),
        "model_list[0].litellm_params.learn",
        "a setting of the guard, and sent to the backend with every request",
        "model_info: {role_guard: {learn: false}} beside litellm_params",
    ),
    "failure_callback as well": Mistake(
        lambda config: config["litellm_settings"].update(failure_callback=[CALLBACK]),
        "litellm_settings.failure_callback[0]",
        "failure_callback is of no use to the guard, which stands under callbacks",
        "failure_callback without it",
    ),
    "a setting that is unknown": Mistake(
        lambda config: config["callback_settings"]["role_guard"].update(mdoe="off"),
        "callback_settings.role_guard.mdoe",
        "unknown setting; did you mean 'mode'?",
        "",
        "fatal",
    ),
    "a deployment of its own key": Mistake(
        lambda config: _first(config).update(model_info={"roleguard": {"mode": "observe"}}),
        "model_list[0].model_info.roleguard",
        "not read by anybody, since the key is role_guard",
        "model_info: {role_guard: {mode: observe}}",
    ),
    "no address at all": Mistake(
        lambda config: _params(config).pop("api_base"),
        "model_list[0].litellm_params.api_base",
        "empty, and HOSTED_VLLM_API_BASE is not set either",
        "api_base: http://gpu-0:8000/v1",
        "fatal",
    ),
    "an address of blanks": Mistake(
        lambda config: _params(config).update(api_base=" "),
        "model_list[0].litellm_params.api_base",
        "empty, and HOSTED_VLLM_API_BASE is not set either",
        "api_base: http://gpu-0:8000/v1",
        "fatal",
    ),
    "an address without http": Mistake(
        lambda config: _params(config).update(api_base="admin:secret@gpu-0:8000/v1"),
        "model_list[0].litellm_params.api_base",
        "'gpu-0:8000/v1' is no address: it begins with neither http:// nor https://",
        "api_base: http://gpu-0:8000/v1",
        "error",
    ),
    "a variable as a shell has it": Mistake(
        lambda config: _params(config).update(api_key="${VLLM_KEY}"),
        "model_list[0].litellm_params.api_key",
        "LiteLLM takes ${VLLM_KEY} as it stands, and reads no variable",
        "api_key: os.environ/VLLM_KEY",
    ),
    "settings of a deployment that is not guarded": Mistake(
        lambda config: _params(config).update(model="azure/m"),
        "model_list[0].model_info.role_guard",
        "of no use: azure/m is no hosted_vllm deployment",
        "model: hosted_vllm/m",
    ),
    "a provider that is none": Mistake(
        lambda config: _params(config).update(model="hosted-vllm/m"),
        "model_list[0].litellm_params.model",
        "LiteLLM has no provider 'hosted-vllm'",
        "model: hosted_vllm/m",
        "error",
    ),
    "the class in place of its instance": Mistake(
        _callbacks("callbacks", ["litellm_role_guard.RoleGuard"]),
        "litellm_settings.callbacks[0]",
        "LiteLLM cannot load 'litellm_role_guard.RoleGuard'",
        _LINE,
        "fatal",
    ),
    "a misspelt callback": Mistake(
        _callbacks("callbacks", ["litellm-role-guard"]),
        "litellm_settings.callbacks[0]",
        "LiteLLM cannot load 'litellm-role-guard'",
        _LINE,
        "fatal",
        is_seen_at_start=False,
    ),
    "a guardrail of another name": Mistake(
        lambda config: config.update(
            guardrails=[
                {
                    "guardrail_name": "role_guard",
                    "litellm_params": {"guardrail": CALLBACK, "mode": "pre_call"},
                }
            ]
        ),
        "guardrails[0].litellm_params.guardrail",
        "'litellm_role_guard.role_guard' is no guardrail",
        "guardrail: litellm_role_guard.RoleGuardrail",
        "error",
    ),
    "callbacks at the top level": Mistake(
        lambda config: config.update(callbacks=config.pop("litellm_settings")["callbacks"]),
        "callbacks[0]",
        "the guard does nothing here",
        f"litellm_settings: {{{_LINE}}}",
        "error",
        is_seen_at_start=False,
    ),
    "callback in place of callbacks": Mistake(
        _callbacks("callback", CALLBACK),
        "litellm_settings.callback",
        "the guard does nothing here",
        f"litellm_settings: {{{_LINE}}}",
        "error",
        is_seen_at_start=False,
    ),
    "no line at all": Mistake(
        lambda config: config.pop("litellm_settings"),
        "litellm_settings.callbacks",
        "no line puts the guard in, so that it does nothing",
        f"litellm_settings: {{{_LINE}}}",
        "error",
        is_seen_at_start=False,
    ),
}

EVERY: Mapping[str, Mistake] = {**THE_TWELVE, **FURTHER}
