"""The guard's own requirement says which releases of LiteLLM it was tried with."""

from __future__ import annotations

import pytest

from litellm_role_guard.diagnosis import versions
from litellm_role_guard.diagnosis.versions import version_faults

WANTED = "litellm!=1.107.0,!=1.82.7,<1.109,>=1.100"


@pytest.mark.parametrize("found", ["1.100.0", "1.100.5", "1.107.1", "1.108.14", None])
def test_a_release_that_was_tried_is_no_fault(found: str | None) -> None:
    """Nor is one that is not there."""
    assert list(version_faults(found, WANTED)) == []


@pytest.mark.parametrize("found", ["1.109.0", "2.0", "1.110.0rc1"])
def test_a_newer_one_is_a_warning_with_what_to_install(found: str) -> None:
    """It may work all the same."""
    (fault,) = version_faults(found, WANTED)
    assert fault.severity == "warning"
    assert fault.what == f"LiteLLM {found} was not tried with the guard, which wants {WANTED}"
    assert fault.write == f"pip install '{WANTED}'"


@pytest.mark.parametrize("found", ["1.99.4", "1.82.6"])
def test_an_older_one_is_an_error(found: str) -> None:
    """It lacks hooks that the guard needs."""
    (fault,) = version_faults(found, WANTED)
    assert fault.severity == "error"
    assert fault.what == f"LiteLLM {found} is too old for the guard, which wants {WANTED}"


@pytest.mark.parametrize("found", ["1.107.0", "1.82.7"])
def test_a_malicious_one_is_an_error(found: str) -> None:
    """Whether it is within the range or not."""
    (fault,) = version_faults(found, WANTED)
    assert fault.severity == "error"
    assert fault.what.startswith(f"LiteLLM {found} is not to be used")


def test_the_range_is_that_of_the_package_and_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As hatch writes them into the metadata."""
    written = [
        "aiohttp",
        "litellm!=1.107.0,!=1.82.7,>=1.100",
        "pydantic>=2.5",
        "litellm[proxy]; extra == 'proxy'",
        "litellm<1.109; extra == 'dev'",
        "litellm<1.109; extra == 'tested'",
    ]
    monkeypatch.setattr(versions, "requires", lambda package: written)
    assert list(version_faults("1.108.7")) == []
    (fault,) = version_faults("1.109.0")
    assert fault.write == "pip install 'litellm!=1.107.0,!=1.82.7,>=1.100,<1.109'"


def test_where_the_requirement_is_not_known_nothing_is_said() -> None:
    """The package is not installed, only its files are there."""
    assert list(version_faults("1.0", "")) == []
