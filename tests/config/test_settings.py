"""What may be written in config.yaml, and how a mistake there is named."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from litellm_role_guard.config.settings import (
    DeploymentSettings,
    GuardSettings,
    SettingsError,
    is_nearly,
    read_settings,
)
from scripts.docs import settings_table
from testing.pages import read_section

PATH = "callback_settings.role_guard"


def read(written: object) -> GuardSettings:
    """Read the settings of the whole guard."""
    return read_settings(written, PATH, GuardSettings)


def test_nothing_written_gives_the_defaults() -> None:
    """Without settings the guard repairs every hosted_vllm deployment."""
    settings = read(None)
    assert (settings.mode, settings.model_groups) == ("repair", None)
    assert (settings.separator, settings.placeholder, settings.extra_roles) == ("\n\n", "", [])


def test_a_live_backend_is_asked_unless_it_is_switched_off() -> None:
    """A first request waits a second at most, and what was learnt holds for an hour."""
    settings = read(None)
    assert (settings.learn, settings.learn_wait, settings.learn_max_age) == (True, 1.0, 3600.0)
    assert not settings.verify
    assert read(yaml.safe_load("learn: off")).learn is False
    assert read(yaml.safe_load("learn_wait: 2")).learn_wait == 2


def test_errors_are_kept_unless_they_are_to_be_dropped() -> None:
    """What a client calls the assistant's words is the client's to decide."""
    assert (read(None).error_turns, read(None).error_patterns) == ("keep", [])
    settings = read({"error_turns": "drop", "error_patterns": ["^oops"]})
    assert (settings.error_turns, settings.error_patterns) == ("drop", ["^oops"])


@pytest.mark.parametrize("model", [GuardSettings, DeploymentSettings])
def test_every_setting_says_what_it_is(model: type[DeploymentSettings]) -> None:
    """Every setting has a one-line description and a default."""
    for field in model.model_fields.values():
        assert field.description
        assert "\n" not in field.description
        assert not field.is_required()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"mdoe": "repair"}, [f"{PATH}.mdoe:", "did you mean 'mode'?"]),
        ({"zzz": 1}, [f"{PATH}.zzz:", "known are mode, chat_template"]),
        ({"mode": "fix"}, [f"{PATH}.mode:", "'repair', 'observe', 'reject' or 'off'", "'fix'"]),
        ({"model_groups": "gemma"}, [f"{PATH}.model_groups:", "must be a list", "'gemma'"]),
        ({"model_groups": ["a", 3]}, [f"{PATH}.model_groups[1]:", "must be a string", "3"]),
        ({"separator": 3}, [f"{PATH}.separator:", "must be a string"]),
        ({"separator": ""}, [f"{PATH}.separator:", "must not be empty", "not ''"]),
        ({"label_form": "label"}, [f"{PATH}.label_form:", "such as ({label})", "not 'label'"]),
        ({"label_form": "[{label}"}, [f"{PATH}.label_form:", "before and behind"]),
        ({"label_form": "{label}]"}, [f"{PATH}.label_form:", "before and behind"]),
        ({"label_form": "<|{label}|>"}, [f"{PATH}.label_form:", "none of them a letter"]),
        ({"label_form": "[INST] {label} ]"}, [f"{PATH}.label_form:", "none of them a letter"]),
        ({"label_form": "[\n{label}]"}, [f"{PATH}.label_form:", "none of them a letter"]),
        ({"learn": "yes"}, [f"{PATH}.learn:", "must be true or false", "'yes'"]),
        ({"learn_wait": -1}, [f"{PATH}.learn_wait:", "must be at least 0, not -1"]),
        ({"learn_wait": 61}, [f"{PATH}.learn_wait:", "must be at most 60, not 61"]),
        ({"learn_wait": "1"}, [f"{PATH}.learn_wait:", "must be a number, not '1'"]),
        ({"learn_max_age": 0}, [f"{PATH}.learn_max_age:", "must be more than 0, not 0"]),
        ({"learn_max_age": float("inf")}, [f"{PATH}.learn_max_age:", "must be a finite number"]),
        ({"verify": 1}, [f"{PATH}.verify:", "must be true or false, not 1"]),
        ({"error_turns": "hide"}, [f"{PATH}.error_turns:", "must be 'keep' or 'drop'", "'hide'"]),
        ({"error_patterns": "oops"}, [f"{PATH}.error_patterns:", "must be a list", "'oops'"]),
        (
            {"error_patterns": ["oops", "*"]},
            [f"{PATH}.error_patterns[1]:", "(nothing to repeat at position 0), not '*'"],
        ),
        ({"error_patterns": ["$"]}, [f"{PATH}.error_patterns[0]:", "not match an empty text"]),
        (["mode"], [f"{PATH}: must be a mapping"]),
        ({"chat_template": ""}, [f"{PATH}.chat_template:", "must be the path of", "not ''"]),
        ({"chat_template": " "}, [f"{PATH}.chat_template:", "must be the path of", "not ' '"]),
        ({"chat_template": "a\0b"}, [f"{PATH}.chat_template:", "must be the path of"]),
    ],
)
def test_a_mistake_is_named_by_its_full_path(written: object, words: list[str]) -> None:
    """An unknown key or a wrong value is refused with its path and what would be right."""
    with pytest.raises(SettingsError) as refused:
        read(written)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("role_gaurd", True),
        ("role-guard", True),
        ("RoleGuard", True),
        ("litellm_role_guard", True),
        ("role_guard", False),
        ("guardrails", False),
        ("presidio", False),
        (3, False),
    ],
)
def test_a_key_that_is_nearly_the_guards_is_told(key: object, meant: bool) -> None:
    """Keys of other plugins are none of the guard's business, misspelt ones of its own are."""
    assert is_nearly(key) is meant


def test_all_mistakes_are_named_at_once() -> None:
    """Two mistakes give two lines, so that a config is not mended one start at a time."""
    with pytest.raises(SettingsError) as refused:
        read({"mdoe": "repair", "separator": 3})
    assert len(str(refused.value).splitlines()) == 2


def test_model_groups_are_refused_for_one_deployment() -> None:
    """`model_groups` under a deployment is refused with the place where it belongs."""
    with pytest.raises(SettingsError, match=r"model_groups: can only be set under callback_set"):
        read_settings({"model_groups": ["a"]}, "model_info.role_guard", DeploymentSettings)


def test_a_bare_off_of_yaml_is_the_mode_off() -> None:
    """YAML reads `mode: off` as false; it still switches the guard off."""
    assert read(yaml.safe_load("mode: off")).mode == "off"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ("observe", "-")),
        ({"mode": "repair"}, ("repair", "-")),
        ({"separator": "\n\n"}, ("observe", "\n\n")),
    ],
)
def test_a_deployments_own_settings_win_key_by_key(
    own: dict[str, Any], expected: tuple[str, str]
) -> None:
    """A key that a deployment sets wins, even where it sets the default; others stay global."""
    settings = read({"mode": "observe", "separator": "-"})
    held = settings.overridden(read_settings(own, "model_info.role_guard", DeploymentSettings))
    assert (held.mode, held.separator) == expected


@pytest.mark.parametrize(
    ("group", "named"), [("gemma", True), ("qwen-8b", True), ("gemma-2", False), ("QWEN-8", False)]
)
def test_model_groups_are_names_and_globs(group: str, named: bool) -> None:
    """A group is guarded when a name equals it or a glob matches it, in the same case."""
    assert read({"model_groups": ["gemma", "qwen-*"]}).names(group) is named


@pytest.mark.parametrize("name", settings_table.SECTIONS)
def test_the_page_of_the_settings_is_made_from_them(name: str) -> None:
    """`python -m scripts.docs` writes docs/settings.md anew after a change."""
    assert read_section(name, settings_table.PAGE).strip() == settings_table.SECTIONS[name]()
