"""A last message that is left open, to be continued (transformers' way)."""

from __future__ import annotations

from typing import Any

_CONTINUE_MARK = "CONTINUE_FINAL_MESSAGE_TAG "


def mark_final_message(conversation: list[dict[str, Any]]) -> str:
    """Mark the end of the last message's text in place, and return that text.

    Source: transformers `utils/chat_template_utils.py`, `render_jinja_template`.

    Raises:
        ValueError: The last message has no text.
    """
    last = conversation[-1]
    content = last["content"]
    if isinstance(content, str):
        last["content"] = content + _CONTINUE_MARK
        return content
    for position in range(len(content) - 1, -1, -1):
        if "text" in content[position]:
            text = str(content[position]["text"])
            content[position] = {**content[position], "text": text + _CONTINUE_MARK}
            return text
    raise ValueError(
        "continue_final_message is set but we could not find any text to continue "
        "in the final message!"
    )


def cut_at_mark(rendered: str, final: str) -> str:
    """Return the prompt up to the mark in it.

    Source: transformers `utils/chat_template_utils.py`, `render_jinja_template`.

    Args:
        rendered: The prompt.
        final: The text before the mark, as `mark_final_message` returned it.

    Raises:
        ValueError: The template left the text or the mark out.
    """
    if final.strip() not in rendered or _CONTINUE_MARK.strip() not in rendered:
        raise ValueError(
            "continue_final_message is set but the final message does not appear in the chat "
            "after applying the chat template! This can happen if the chat template deletes "
            "portions of the final message. Please verify the chat template and final message in "
            "your chat to ensure they are compatible."
            f"Final message to continue: {final.strip()}\nRendered chat:\n{rendered}"
        )
    at = rendered.rindex(_CONTINUE_MARK.strip())
    if rendered[at : at + len(_CONTINUE_MARK)] == _CONTINUE_MARK:
        return rendered[:at]
    return rendered[:at].rstrip()
