"""Today's agents do their work on strict templates: real programs, through a real proxy.

Each has a whole chat: a task of several rounds of tools, two of them at once; a question that is
stopped while the model thinks; the chat resumed; a compaction, and what is said after it.
"""

from __future__ import annotations

from testing.agents.trial import Trial


def test_the_chat_goes_on_to_its_end(trial: Trial) -> None:
    """With the guard the agent gets through, and no request of it is refused."""
    assert trial.told.undone == ""
    answered = [each for each in trial.told.exchanges if each.status]
    assert len(answered) >= 3
    assert [each.error for each in answered if each.status != 200] == []


def test_every_text_is_read_as_what_it_was(trial: Trial) -> None:
    """In the prompts of the backend stands all that the agent sent, and as what it sent it."""
    assert [(each.outcome, each.why) for each in trial.guarded if each.outcome != "fine"] == []
    # What was judged is what the backend got in the chat itself.
    assert set(trial.told.prompts) <= {each.prompt for each in trial.guarded}
    assert len(trial.told.prompts) >= 3


def test_what_is_sound_is_untouched(trial: Trial) -> None:
    """What the backend reads whole and right without the guard goes on as it came."""
    assert [(trial.guarded[at].changes, at) for at in trial.touched] == []


def test_without_the_guard_the_task_is_done_where_the_template_takes_it(trial: Trial) -> None:
    """The same agent on the same model without the guard does its task, or does not, as known."""
    assert bool(trial.bare.undone) == (trial.model in trial.client.breaks_on), trial.cell()


def test_nothing_leaves_the_machine(trial: Trial) -> None:
    """The agents' own settings are enough to keep them from asking anything of other machines."""
    assert trial.left == []
