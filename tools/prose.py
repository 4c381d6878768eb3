"""Check the project's prose for phrases that plain technical English does without.

It reads docstrings, comments, messages and pages. Run it with `nox -s style`, or `python tools/prose.py` for the whole
project and `python tools/prose.py PATH …` for some of its files.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCES = ("*.md", "*.py", ".github/**/*.md", *(f"{folder}/**/*.{kind}" for kind in ("md", "py") for folder in (
    "benchmarks", "docs", "examples", "peaka_async", "tests", "tools"
)))  # fmt: skip
BUILT = frozenset({"_build", "build", "dist"})
MAX_LINE = 120

# A phrase, and what to write.
RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.replace(" ", r"\s+")), advice)
    for pattern, advice in (
        (r"\b[Ii]n place of\b", "instead of"),
        (r"\b[Ww]ants\b", "needs"),
        (r"\b[Ww]here (it|there|they|that|this|nothing|one|none) (is|are|was|were|has|have|can|could)\b", "if"),
        (r"\b[Ww]here (it|they|that|this) (did|does|do|named?s?|sent|gives?|gave)\b", "if"),
        (r"\b(None|empty|nothing|0) where\b", "None if …"),
        (r"\b[Aa]new\b", "again"),
        (
            r"\b(that|which|it|what) (is|are|was|were) none\b|\bnone of (its|their) (type|kind)\b",
            "is missing, is invalid, is not one",
        ),
        (r"\b[Nn]obody knows\b", "it is not known"),
        (r"\A(What|Whose|Where)\b", "a direct statement: it names the thing, or says what the function does"),
        (r"\bbears? to\b|\bof the day\b", "a common phrase"),
    )
)

# The files and folders that may use these phrases, with the reason.
ALLOWED: dict[str, str] = {
    "tests/tools/test_prose.py": "tests that the phrases are found",
    **dict.fromkeys(
        (
            "tests/_transport/",
            "tests/browser/",
            "tests/cli/",
            "tests/oauth2/",
            "tests/tools/",
            "tools/",
        ),
        "not re-read yet",
    ),
}


class Passage(NamedTuple):
    """A piece of prose, and the line of its file on which it begins."""

    line: int
    text: str


class Finding(NamedTuple):
    """A phrase to rewrite."""

    path: str
    line: int
    phrase: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: {self.advice}"


def python_passages(source: str, *, messages: bool) -> Iterator[Passage]:
    """Give the docstrings and comments of a module, and with `messages` all its texts of several words."""
    yield from _comments(source)
    for node in ast.walk(ast.parse(source)):
        text = node if messages else node.value if isinstance(node, ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and " " in text.value.strip():
            yield Passage(text.lineno, text.value)


def _comments(source: str) -> Iterator[Passage]:
    """Give the comments; those on adjacent lines as one passage."""
    found = [
        (token.start[0], token.string.lstrip("#: "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for _, block in groupby(enumerate(found), lambda numbered: numbered[1][0] - numbered[0]):
        lines = [line for _, line in block]
        yield Passage(lines[0][0], "\n".join(text for _, text in lines))


def markdown_passages(source: str) -> Iterator[Passage]:
    """Give the text of a page without its code blocks."""
    inside = False
    lines = []
    for line in source.splitlines():
        fence = line.lstrip().startswith("```")
        inside = inside != fence
        lines.append("" if inside or fence else line)
    yield Passage(1, "\n".join(lines))


def check(path: str, source: str) -> Iterator[Finding]:
    """Find what to rewrite in a file."""
    if path.endswith(".md"):
        passages = list(markdown_passages(source))
        yield from _long_lines(path, passages)
    else:
        passages = list(python_passages(source, messages=not path.startswith("tests/")))
    for passage in passages:
        for pattern, advice in RULES:
            for match in pattern.finditer(passage.text):
                line = passage.line + passage.text.count("\n", 0, match.start())
                yield Finding(path, line, " ".join(match[0].split()), advice)


def _long_lines(path: str, passages: Iterable[Passage]) -> Iterator[Finding]:
    for passage in passages:
        for number, line in enumerate(passage.text.splitlines(), passage.line):
            if len(line) > MAX_LINE and not line.lstrip().startswith(("|", "#")):
                yield Finding(path, number, f"{line[:30]}…", f"at most {MAX_LINE} characters in a line")


def project_files() -> Iterator[Path]:
    """Give the files with prose that the project's developers wrote."""
    found = {path for pattern in SOURCES for path in ROOT.glob(pattern)}
    yield from sorted(path for path in found if not BUILT & set(path.relative_to(ROOT).parts))


def main(paths: Iterable[str] = ()) -> int:
    """Print what to rewrite; returns the exit code."""
    files = [Path(path).resolve() for path in paths] or list(project_files())
    named = {path.relative_to(ROOT).as_posix(): path for path in files}
    findings = [
        finding
        for name, path in named.items()
        if not name.startswith(tuple(ALLOWED))
        for finding in sorted(check(name, path.read_text(encoding="utf-8")), key=lambda found: found.line)
    ]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
