"""Items of /v1/responses that clients send and vLLM does not take as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Item = dict[str, Any]

PNG = "data:image/png;base64,AAAA"
SECRET = "gAAAAABo" + "Zm9v" * 400  # what a provider encrypts for itself

# What each holds that a model is to read, by a function of the text that stands in it.
FOREIGN: dict[str, Callable[[str], list[Item]]] = {
    "web_search_call": lambda text: [
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": text},
        }
    ],
    "file_search_call": lambda text: [
        {
            "type": "file_search_call",
            "id": "fs_1",
            "status": "completed",
            "queries": ["cats"],
            "results": [{"filename": "a.txt", "score": 0.5, "text": text}],
        }
    ],
    "code_interpreter_call": lambda text: [
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "container_id": "c",
            "code": "1 + 1",
            "outputs": [{"type": "logs", "logs": text}, {"type": "image", "url": PNG}],
        }
    ],
    "image_generation_call": lambda text: [
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "revised_prompt": text,
            "result": "iVBORw0K" * 400,
        }
    ],
    "mcp_call": lambda text: [
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "files",
            "name": "read",
            "arguments": "{}",
            "output": text,
        }
    ],
    "mcp_list_tools": lambda text: [
        {
            "type": "mcp_list_tools",
            "id": "mcpl_1",
            "server_label": "files",
            "tools": [{"name": text, "input_schema": {"type": "object"}}],
        }
    ],
    "local_shell_call": lambda text: [
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_shell",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls", text], "env": {}},
        },
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "seen"},
    ],
    "shell_call": lambda text: [
        {"type": "shell_call", "call_id": "call_sh", "action": {"commands": ["ls"]}},
        {
            "type": "shell_call_output",
            "call_id": "call_sh",
            "output": [{"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
    ],
    "apply_patch_call": lambda text: [
        {
            "type": "apply_patch_call",
            "call_id": "call_patch",
            "status": "completed",
            "operation": {"type": "update_file", "path": "a.py", "diff": text},
        },
        {"type": "apply_patch_call_output", "call_id": "call_patch", "status": "completed"},
    ],
    "computer_call": lambda text: [
        {
            "type": "computer_call",
            "id": "cu_1",
            "call_id": "call_computer",
            "status": "completed",
            "action": {"type": "type", "text": text},
            "pending_safety_checks": [],
        },
        {"type": "computer_call_output", "call_id": "call_computer", "output": "typed"},
    ],
    "custom_tool_call": lambda text: [
        {"type": "custom_tool_call", "call_id": "call_custom", "name": "edit", "input": text},
        {"type": "custom_tool_call_output", "call_id": "call_custom", "output": "done"},
    ],
    "compaction": lambda text: [
        {"type": "compaction", "id": "cmp_1", "encrypted_content": SECRET, "summary": text}
    ],
    "a later kind": lambda text: [{"type": "mood_report", "id": "x", "mood": {"word": text}}],
    "a later kind of message": lambda text: [
        {"type": "whispered_message", "role": "user", "content": text}
    ],
    "thoughts in parts": lambda text: [
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": text},
            ],
        }
    ],
}
"""By what they are: items in which a text stands."""

UNREADABLE: dict[str, Item] = {
    "item_reference": {"type": "item_reference", "id": "msg_gone"},
    "a bare reference": {"id": "msg_gone"},
    "compaction": {"type": "compaction", "id": "cmp_1", "encrypted_content": SECRET},
    "compaction_trigger": {"type": "compaction_trigger"},
    "reasoning": {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": SECRET},
    "a later kind": {"type": "memory", "id": "x", "blob": SECRET},
}
"""Items in which nothing is that a model could read."""
