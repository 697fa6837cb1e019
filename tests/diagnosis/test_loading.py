"""How the lines that put the guard in are judged, beside each mistake in `tests/starts`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from litellm_role_guard.config.proxy_config import ProxyConfig
from litellm_role_guard.diagnosis import loading
from litellm_role_guard.diagnosis.loading import loading_faults, missing_packages, not_loaded


def read(folder: Path, *callbacks: str) -> ProxyConfig:
    """Return a config with these callbacks."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"litellm_settings": {"callbacks": list(callbacks)}}))
    return ProxyConfig.read(path)


@pytest.mark.parametrize("name", ["my_guard.role_guard", "broken_guard.role_guard", "hooks.guard"])
def test_an_operators_own_module_puts_the_guard_in(name: str, tmp_path: Path) -> None:
    """Whatever it is called, however close to the guard's own name."""
    module = name.partition(".")[0]
    (tmp_path / f"{module}.py").write_text("from litellm_role_guard import role_guard\n")
    config = read(tmp_path, name)
    assert [*loading_faults(config), *not_loaded(config)] == []


def test_an_operators_module_without_the_guard_is_no_guard(tmp_path: Path) -> None:
    """It is left alone, and the guard is told as missing."""
    (tmp_path / "rule_guard.py").write_text("rule_guard = None\n")
    config = read(tmp_path, "rule_guard.rule_guard")
    assert list(loading_faults(config)) == []
    assert ["no line puts the guard in" in each.what for each in not_loaded(config)] == [True]


@pytest.mark.parametrize(
    "name",
    ["litellm_role_gard.role_guard", "litellm-role-guard.role_guard", "role_guard", "role-guard"],
)
def test_a_misspelled_name_stops_the_start(name: str, tmp_path: Path) -> None:
    """LiteLLM would look for a module that is not there, or for nothing."""
    assert [each.severity for each in loading_faults(read(tmp_path, name))] == ["fatal"]


def test_a_name_that_the_package_does_not_have_stops_the_start(tmp_path: Path) -> None:
    """The package is there, and what is named in it is not."""
    config = read(tmp_path, "litellm_role_guard.RoleGuard")
    assert [each.severity for each in loading_faults(config)] == ["fatal"]


def test_a_callback_whose_package_is_missing_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM's own extra does not bring it, and ends with a traceback."""
    config = read(tmp_path, "litellm_role_guard.role_guard", "prometheus")
    assert list(missing_packages(config)) == []
    monkeypatch.setitem(loading._PACKAGES, "prometheus", ("no_such_one", "prometheus-client"))
    (found,) = missing_packages(config)
    assert (found.severity, found.where) == ("fatal", "litellm_settings.callbacks[1]")
    assert found.write == "pip install prometheus-client"
    assert list(missing_packages(read(tmp_path, "litellm_role_guard.role_guard"))) == []
