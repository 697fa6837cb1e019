"""The guard's log, seen where nobody else shows it, and without a client's text."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from litellm_role_guard.config.settings import SettingsError
from litellm_role_guard.observability.log import log_failure, logger, show

TEXT = "a text that nobody may log"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Give a root logger without any handler, as LiteLLM's proxy has it, and pytest has not."""
    made = logging.RootLogger(logging.WARNING)
    before = logger.level
    monkeypatch.setattr(logger, "parent", made)
    monkeypatch.setattr(logger, "handlers", [])
    logger.setLevel(logging.NOTSET)
    yield made
    logger.setLevel(before)


def test_without_any_handler_the_lines_go_to_stderr(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    """A line has its time and level and is written once, however often it is asked for."""
    show()
    show()
    logger.info("merged=1")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO litellm_role_guard: merged=1")
    assert line[:2] == "20"


def test_a_handler_that_comes_later_takes_over(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    """What the root logger's handlers write is not written twice."""
    show()
    root.addHandler(logging.StreamHandler())
    logger.info("merged=1")
    assert capsys.readouterr().err == "merged=1\n"


def test_a_handler_that_takes_only_errors_leaves_the_rest(
    capsys: pytest.CaptureFixture[str], root: logging.Logger
) -> None:
    """A handler of a higher level does not keep the lines from being seen."""
    show()
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)
    root.addHandler(errors)
    logger.info("merged=1")
    logger.error("failed")
    lines = capsys.readouterr().err.splitlines()
    assert [line[-8:] for line in lines] == ["merged=1", "failed"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_what_the_user_has_set_up_stays(root: logging.Logger, level: int) -> None:
    """A level of the guard's logger and handlers of the root logger are left as they are."""
    logger.setLevel(level)
    root.addHandler(logging.StreamHandler())
    show()
    assert logger.level == level
    assert logger.handlers == []


def test_a_root_logger_that_shows_more_is_not_narrowed(root: logging.Logger) -> None:
    """With the root logger at DEBUG the guard's lines of that level stay to be seen."""
    root.setLevel(logging.DEBUG)
    show()
    assert logger.isEnabledFor(logging.DEBUG)


def _fail() -> None:
    names: dict[str, str] = {}
    try:
        names[TEXT]
    except KeyError as error:
        raise ValueError(f"cannot read {TEXT}") from error


def test_a_failure_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """All frames and types of a failure are there, and no word of a message that it quotes."""
    try:
        _fail()
    except ValueError as error:
        log_failure("role guard failed", error)
    (record,) = caplog.records
    assert record.exc_info is None  # a handler would write its words
    assert TEXT not in caplog.text
    assert "KeyError" in caplog.text
    assert "ValueError" in caplog.text
    assert "in _fail" in caplog.text


def test_a_deep_recursion_is_no_long_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever nests JSON deep enough must not write a hundred kilobytes of log each time."""

    def deep(level: int) -> int:
        return deeper(level + 1)

    def deeper(level: int) -> int:
        return deep(level + 1)

    with pytest.raises(RecursionError) as failed:
        deep(0)
    log_failure("failed", failed.value)
    assert caplog.text.count("in deep") < 50
    assert "RecursionError" in caplog.text


def test_a_settings_error_is_logged_in_full(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with a setting is about the config, not about a client."""
    log_failure("role guard failed", SettingsError("model_info.role_guard.mdoe: unknown"))
    assert "SettingsError: model_info.role_guard.mdoe: unknown" in caplog.text
