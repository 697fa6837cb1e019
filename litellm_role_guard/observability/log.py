"""The guard's log: seen where nobody else would show it, and never with a client's text in it."""

from __future__ import annotations

import logging
import traceback

logger = logging.getLogger("litellm_role_guard")


SHOWN_FRAMES = 20
"""How many frames a line shows of either end of a traceback."""


FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def show(level: int | None = None, formatter: logging.Formatter | None = None) -> None:
    """See to it that lines of a level are written, to stderr if nowhere else.

    LiteLLM's proxy gives handlers to its own loggers only, so that without this nothing below
    WARNING would ever be seen. A level or a handler that somebody has set is left as it is.

    Args:
        level: The level; None for INFO, or what an outer logger shows beyond it.
        formatter: The form of the lines that are written to stderr.
    """
    if logger.level == logging.NOTSET and (
        level is not None or not logger.isEnabledFor(logging.INFO)
    ):
        logger.setLevel(logging.INFO if level is None else level)
    if not logger.hasHandlers():
        handler = _SpareHandler()
        handler.setFormatter(formatter or logging.Formatter(FORMAT))
        logger.addHandler(handler)


def level_named(name: str | None) -> int | None:
    """Return a level of the `logging` module by its name, in any case; None for no such name."""
    level = logging.getLevelName((name or "").strip().upper())
    return level if isinstance(level, int) else None


def log_failure(message: str, error: BaseException, level: int = logging.ERROR) -> None:
    """Log an error of the guard's own: the frames and types of its traceback.

    Args:
        message: What the failure means for the request.
        error: The error. Its words are left out, since they may hold a client's text (a KeyError
            shows the key), and with them what a record's `exc_info` would give to other handlers.
            An error whose class says `words_are_safe` is about the config: its words are logged.
        level: The level of the line.
    """
    if logger.isEnabledFor(level):
        logger.log(level, "%s\n%s", message, _frames(error))


def _frames(error: BaseException) -> str:
    told: list[BaseException] = []
    earlier: BaseException | None = error
    while earlier is not None and earlier not in told:
        told.append(earlier)
        context = None if earlier.__suppress_context__ else earlier.__context__
        earlier = earlier.__cause__ or context
    return "\n".join(
        "Traceback (most recent call last):\n"
        + "".join(_some(traceback.format_tb(each.__traceback__)))
        + _name(each)
        for each in reversed(told)
    )


def _some(frames: list[str]) -> list[str]:
    """Return the outermost and the innermost frames: a client may choose how many there are."""
    if len(frames) <= 2 * SHOWN_FRAMES:
        return frames
    left_out = f"  {len(frames) - 2 * SHOWN_FRAMES} frames more\n"
    return [*frames[:SHOWN_FRAMES], left_out, *frames[-SHOWN_FRAMES:]]


def _name(error: BaseException) -> str:
    name = type(error).__qualname__
    return f"{name}: {error}" if getattr(error, "words_are_safe", False) else name


class _SpareHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes what no other handler takes; others may be set up later (`json_logs`, a plugin)."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_taken(record):
            super().emit(record)

    def _is_taken(self, record: logging.LogRecord) -> bool:
        place: logging.Logger | None = logger
        while place is not None:
            if any(each is not self and record.levelno >= each.level for each in place.handlers):
                return True
            place = place.parent if place.propagate else None
        return False
