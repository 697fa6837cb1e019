"""Whether a template reads a message's content as parts or as one string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox

ContentFormat = Literal["string", "openai"]


def detect_content_format(tree: jinja2.nodes.Template) -> ContentFormat:
    """Return how a template reads a message's content: as parts or as one string.

    "openai" if its syntax tree has a loop over a message's `content`, else "string".

    Source: vLLM `renderers/hf.py`, `_detect_content_format`.
    """
    try:
        loops_over_content = any(_content_loops(tree))
    except Exception:  # vLLM takes "string" for a tree that it cannot read
        return "string"
    return "openai" if loops_over_content else "string"


def _content_loops(tree: jinja2.nodes.Template) -> Iterator[bool]:
    aliases = ["messages"]
    for alias in aliases:  # grows while it is walked: an alias may have aliases
        for assign in tree.find_all(jinja2.nodes.Assign):
            if not _reads(assign.node, alias):
                continue
            if not isinstance(assign.target, jinja2.nodes.Name):
                raise TypeError("the messages are kept in no plain variable")
            if assign.target.name not in aliases:
                aliases.append(assign.target.name)
    loops = list(tree.find_all(jinja2.nodes.For))
    items = [_target(loop) for loop in loops if any(_reads(loop.iter, alias) for alias in aliases)]
    in_macros: dict[int, set[str]] = {}
    calls = list(tree.find_all(jinja2.nodes.Call))
    for macro in tree.find_all(jinja2.nodes.Macro):
        passed_content: set[str] = set()
        for call in calls:
            if not (isinstance(call.node, jinja2.nodes.Name) and call.node.name == macro.name):
                continue
            named = [(arg.name, value) for arg, value in zip(macro.args, call.args, strict=False)]
            named += [(keyword.key, keyword.value) for keyword in call.kwargs]
            passed_content |= {
                name
                for name, value in named
                if any(_reads(value, item, "content") for item in items)
            } & {arg.name for arg in macro.args}
        for loop in macro.find_all(jinja2.nodes.For):
            in_macros[id(loop)] = passed_content or in_macros.get(id(loop), set())
    for loop in loops:
        over = loop.iter.name if isinstance(loop.iter, jinja2.nodes.Name) else None
        if (
            any(_reads(loop.iter, item, "content") for item in items)
            or (over is not None and over in in_macros.get(id(loop), ()))
            or (over == "content" and id(loop) not in in_macros)
        ):
            _target(loop)
            yield True


def _target(loop: jinja2.nodes.For) -> str:
    if not isinstance(loop.target, jinja2.nodes.Name):
        raise TypeError("a loop over messages unpacks its items")
    return loop.target.name


def _reads(node: jinja2.nodes.Node | None, name: str, key: str | None = None) -> bool:
    """Return whether an expression is the variable `name` or its `key`, even filtered or sliced."""
    if isinstance(node, (jinja2.nodes.Filter, jinja2.nodes.Test)):
        return _reads(node.node, name, key)
    if isinstance(node, jinja2.nodes.Getitem):
        if isinstance(node.arg, jinja2.nodes.Slice):
            return _reads(node.node, name, key)
        return (
            key is not None
            and isinstance(node.arg, jinja2.nodes.Const)
            and node.arg.value == key
            and _reads_name(node.node, name)
        )
    if isinstance(node, jinja2.nodes.Getattr):
        return key is not None and node.attr == key and _reads_name(node.node, name)
    return key is None and _reads_name(node, name)


def _reads_name(node: jinja2.nodes.Node | None, name: str) -> bool:
    return isinstance(node, jinja2.nodes.Name) and node.ctx == "load" and node.name == name
