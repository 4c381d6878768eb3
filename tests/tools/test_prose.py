"""The check of the project's prose."""

from __future__ import annotations

import textwrap
from pathlib import Path

import prose
import pytest


def phrases(path: str, source: str) -> list[tuple[int, str]]:
    return [(found.line, found.phrase) for found in prose.check(path, textwrap.dedent(source))]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("A proxy in place of a server.", "in place of"),
        ("It wants a key.", "wants"),
        ("The number, where there is one.", "where there is"),
        ("Left out where it is empty.", "where it is"),
        ("The code; None where missing.", "None where"),
        ("It begins anew.", "anew"),
        ("A timestamp that is none stays text.", "that is none"),
        ("Text, none of its type.", "none of its type"),
        ("Then nobody knows.", "nobody knows"),
        ("The state of the day.", "of the day"),
        ("What the method sends.", "What"),
    ],
)
def test_a_phrase_is_found(text: str, phrase: str) -> None:
    """Each rule finds its phrase in a page and in a docstring."""
    assert phrases("README.md", text) == [(1, phrase)]
    assert phrases("peaka_async/a.py", f'"""{text}"""') == [(1, phrase)]


@pytest.mark.parametrize(
    "text",
    [
        "Instead of a server.",
        "The folder where tests are kept.",
        "The value is None.",
        "Say what it wanted.",
        "Somewhere.",
    ],
)
def test_plain_prose_passes(text: str) -> None:
    """Similar words that are plain English are not findings."""
    assert phrases("peaka_async/a.py", f'"""{text}"""') == []


def test_docstrings_comments_and_messages_are_read() -> None:
    """Findings have the line of the phrase, even if it is on a later line than its passage or broken over two."""
    source = '''
        """A module.

        It wants a key."""
        # A key in
        # place of a code.
        LIMIT = 1  # where it is needed
        message = f"{LIMIT}: the call wants a key."
        name = "wants"
    '''
    expected = [(4, "wants"), (5, "in place of"), (7, "where it is"), (8, "wants")]
    assert sorted(phrases("peaka_async/a.py", source)) == expected


def test_texts_of_tests_are_not_read() -> None:
    """A test may send any text to the code; its docstrings and comments are read."""
    source = '''
        def test_it():
            """It wants a key."""
            call("a text that wants a key")
    '''
    assert phrases("tests/test_a.py", source) == [(3, "wants")]


def test_code_in_a_page_is_not_read() -> None:
    """Code blocks are no prose."""
    page = """
        Text.

        ```python
        wants = 1  # where it is
        ```

        It wants a key.
    """
    assert phrases("docs/a.md", page) == [(8, "wants")]


def test_long_lines_of_a_page_are_found() -> None:
    """Tables and headings cannot be wrapped, so their lines may be longer."""
    long = "word " * 30
    assert phrases("docs/a.md", f"{long}\n") == [(1, f"{long[:30]}…")]
    assert phrases("docs/a.md", f"| {long} |\n\n# {long}\n") == []


def test_the_project_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """The project's own prose has no findings."""
    assert prose.main() == 0, capsys.readouterr().out


def test_findings_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding is printed with its place and advice, and makes the check fail. An exception is not reported."""
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("It wants a key.\n")
    (tmp_path / "_build").mkdir()
    (tmp_path / "_build" / "README.md").write_text("It wants a key.\n")
    assert prose.main() == 1
    assert capsys.readouterr().out == "README.md:1: 'wants': needs\n"
    monkeypatch.setattr(prose, "ALLOWED", {"README.md": "a test"})
    assert prose.main() == 0
    assert prose.main([str(tmp_path / "README.md")]) == 0


def test_each_exception_has_a_reason_and_a_file() -> None:
    """An exception is for files that exist, and says why."""
    assert all(prose.ALLOWED.values())
    assert [path for path in prose.ALLOWED if not (prose.ROOT / path).exists()] == []
