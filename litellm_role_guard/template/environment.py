"""The Jinja environment in which templates are compiled, as transformers sets it up."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox
from jinja2.parser import Parser

from .errors import TemplateInvalid


class _Generation(jinja2.ext.Extension):
    """The `{% generation %}` block of transformers, which renders its text unchanged."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A call block, as there: what is set within is not seen outside.
        block = jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body)
        return block.set_lineno(line)

    def _text(self, caller: Callable[[], str]) -> str:
        return caller()


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with a cache of which attributes of a type may be read.

    The answer depends on the type alone. Without the cache it takes a third of a template's time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._safe: dict[tuple[type, str], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether the sandbox lets an attribute be read."""
        key = type(obj), attr
        safe = self._safe.get(key)
        if safe is None:
            safe = super().is_safe_attribute(obj, attr, value)
            if len(self._safe) < _ATTRIBUTES:  # a template may make names up from a message's text
                self._safe[key] = safe
        return safe


_ATTRIBUTES = 4096


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


ENVIRONMENT = _environment()


def parse_template(text: str) -> jinja2.nodes.Template:
    """Return a template's syntax tree.

    Raises:
        TemplateInvalid: The source is no template; the message names the line.
    """
    try:
        return ENVIRONMENT.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateInvalid(f"line {error.lineno}: {error.message}") from error


def compile_template(tree: jinja2.nodes.Template) -> jinja2.Template:
    """Return the compiled template of a syntax tree, in which constants may be folded then.

    Raises:
        TemplateInvalid: It does not compile; the message names the line.
    """
    try:
        return ENVIRONMENT.from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateInvalid(f"line {error.lineno}: {error.message}") from error


def error_reason(error: BaseException) -> str:
    """Return the most specific message in a chain of errors (vLLM `_template_error_reason`)."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, jinja2.TemplateError):
            return str(current)
        current = current.__cause__ or current.__context__
    return str(error)
