"""The journal: whatever becomes of its end, each request has one answer or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_role_guard.batch.errors import BadOutput, WriteFailed
from litellm_role_guard.batch.journal import MAGIC, Journal
from litellm_role_guard.batch.output import Output
from litellm_role_guard.batch.sending.request import BatchResult

HEADER = {"input": "in.jsonl", "sha256": "1", "settings": {"model": "m"}}
TEXTS = st.text(max_size=40)


def result(number: int, text: str = "yes", **fields: Any) -> BatchResult:
    """Give an answer to a request."""
    choice = {"message": {"role": "assistant", "content": text}}
    return BatchResult(
        number, f"id-{number}", 200, {"choices": [choice]}, digest=number + 7, **fields
    )


def journal(folder: Path) -> Journal:
    """Open the journal of a folder."""
    return Journal(folder / "journal", HEADER)


def lines(folder: Path, kept: Journal, *, ordered: bool) -> list[str]:
    """Give the texts of the output that is made of a journal."""
    path = folder / "out"
    Output(path, kept, ordered=ordered, text_only=True).close()
    return path.read_text().splitlines()


@given(
    numbers=st.permutations(range(8)),
    texts=st.lists(TEXTS, min_size=8, max_size=8),
    cut=st.integers(min_value=0, max_value=4000),
)
def test_killed_at_any_byte_every_request_has_one_answer(
    numbers: list[int], texts: list[str], cut: int
) -> None:
    """What is there whole is kept, what is torn is asked again, and nothing stands twice."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = journal(folder)
        for number in numbers:
            first.append(result(number, texts[number]))
        first.close()
        path = folder / "journal"
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        again = journal(folder)
        kept = [number for number in range(8) if again.has(number)]
        assert kept == sorted(numbers[: len(kept)])  # the oldest, without a gap
        assert len(kept) == max(whole[:cut].count(b"\n") - 1, 0)
        for number in numbers:
            if not again.has(number):
                again.append(result(number, texts[number]))
        assert again.answered == 8
        expected = [BatchResult.text.fget(result(n, texts[n])) for n in range(8)]  # type: ignore[attr-defined]
        assert [again.result(number).text for number in range(8)] == expected
        assert len(lines(folder, again, ordered=True)) == len(lines(folder, again, ordered=False))
        again.close()
        third = journal(folder)
        assert [each.number for each in third.results()] == numbers
        third.close()


@given(at=st.integers(min_value=100, max_value=1500), byte=st.integers(0, 255))
def test_a_damaged_line_counts_as_not_there(at: int, byte: int) -> None:
    """The others are kept, and no damage passes for an answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = journal(folder)
        for number in range(8):
            first.append(result(number))
        first.close()
        path = folder / "journal"
        whole = bytearray(path.read_bytes())
        at %= len(whole)
        at = max(at, whole.index(b"\n") + 1)  # behind the header
        whole[at] = byte
        path.write_bytes(whole)
        again = journal(folder)
        assert again.answered >= 6  # a damaged line break costs two
        for number in range(8):
            if again.has(number):
                assert again.result(number) == result(number)
        again.close()


def test_answers_wait_for_the_one_before_them(tmp_path: Path) -> None:
    """In the input's order a line is written once all before it are."""
    kept = journal(tmp_path)
    output = Output(tmp_path / "out", kept, ordered=True, text_only=True)
    for number, there in ((2, 0), (1, 0), (0, 3), (3, 4)):
        answer = result(number, f"answer\n{number}")
        kept.append(answer)
        output.add(answer)
        assert len((tmp_path / "out").read_text().splitlines()) == there
    assert (tmp_path / "out").read_text().splitlines()[2] == "answer\\n2"
    assert output.waiting == 0


def test_the_later_of_two_answers_counts(tmp_path: Path) -> None:
    """After `forget`, as --retry-failed has it, in both orders."""
    kept = journal(tmp_path)
    kept.append(result(0, "old"))
    kept.append(result(1))
    kept.forget(0)
    assert not kept.has(0)
    kept.append(result(0, "new"))
    assert lines(tmp_path, kept, ordered=True) == ["new", "yes"]
    assert lines(tmp_path, kept, ordered=False) == ["yes", "new"]
    assert kept.answered == 2


def test_a_journal_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Another input, other settings, another kind of file, a run that is writing it."""
    path = tmp_path / "journal"
    kept = journal(tmp_path)
    with pytest.raises(BadOutput, match="another run is writing it"):
        journal(tmp_path)
    kept.append(result(0))
    kept.close()
    for header, words in (
        ({**HEADER, "sha256": "2"}, "in.jsonl has changed"),
        ({**HEADER, "sha256": "2", "input": "b"}, "belongs to in.jsonl"),
        ({**HEADER, "settings": {"model": "m", "system": "s"}}, "begun with another system"),
    ):
        before = path.read_bytes()
        with pytest.raises(BadOutput, match=words):
            Journal(path, header)
        assert path.read_bytes() == before
    for foreign in (b"my diary\n", b"my diary", MAGIC + b"{\n00000000 {}\n"):
        path.write_bytes(foreign)
        with pytest.raises(BadOutput, match="is no journal"):
            journal(tmp_path)
        assert path.read_bytes() == foreign


def test_a_journal_without_an_answer_is_anybodys(tmp_path: Path) -> None:
    """Killed before the first one, nothing is lost with it."""
    journal(tmp_path).close()
    other = {**HEADER, "settings": {"model": "another"}}
    Journal(tmp_path / "journal", other).close()
    assert b"another" in (tmp_path / "journal").read_bytes()


def test_a_full_disk_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that could be written in part only is taken back, and the ones before it stay."""
    kept = journal(tmp_path)
    kept.append(result(0))
    room, real = [30], os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        written = real(file, data[: room[0]], offset)
        room[0] -= written
        if not written:
            raise OSError(28, "No space left on device")
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(WriteFailed, match="journal: No space left on device"):
        kept.append(result(1))
    assert (kept.has(0), kept.has(1)) == (True, False)
    monkeypatch.undo()
    kept.append(result(1))
    kept.close()
    assert journal(tmp_path).answered == 2
