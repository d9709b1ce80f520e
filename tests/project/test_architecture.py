"""docs/architecture.md and docs/glossary.md: every file that they name is there, every question has an answer at most two hops away, each
term once."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
QUESTIONS = (
    "P95",
    "Bybit's frames",
    "refused",
    "03:12",
    "fees",
    "wire format",
    "a venue",
    "a detector",
    "a preset",
    "a fault",
    "a feature",
    "a policy",
)


def named(text: str) -> list[str]:
    """Files and folders of the repository in backticks."""
    return [
        name for name in re.findall(r"`([\w./-]+)`", text) if re.match(r"(liqcore|pysrc|tests|examples|docs|benches)/", name) or name.endswith(".md")
    ]


def test_every_file_that_it_names_exists():
    found = named(PAGE)
    assert len(found) > 40
    assert [name for name in found if not (ROOT / name).exists()] == []


def test_files_of_the_picture_exist():
    picture = PAGE.split("```")[1]
    folders = {"shell": ROOT / "pysrc" / "liqshell", "core": ROOT / "liqcore"}
    files = re.findall(r"[\w/]+\.(?:pyx|pxd|py)\b", picture)
    assert len(files) > 15
    assert [name for name in files if not any((top / name).is_file() or list(top.rglob(name)) for top in folders.values())] == []


def test_each_question_is_answered_by_a_row_that_names_a_file_or_a_command():
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", PAGE.split("## Where is ...?")[1], re.M)
    for question in QUESTIONS:
        answers = [answer for asked, answer in rows if question in asked]
        assert len(answers) == 1, question
        assert named(answers[0]) or "`liqcore " in answers[0], question


def test_readme_links_both_pages_so_that_an_answer_is_two_hops_away():
    readme = (ROOT / "README.md").read_text()
    assert "(docs/architecture.md)" in readme and "(docs/glossary.md)" in readme
    assert "(glossary.md)" in PAGE


def test_each_term_is_defined_once_in_one_or_two_sentences():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.M)
    terms = [term.strip() for names, _ in rows for term in names.split(", ") if names not in ("term", "---")]
    assert len(terms) > 90 and len(set(terms)) == len(terms)
    for names, meaning in rows:
        if names not in ("term", "---"):
            assert meaning.rstrip().endswith(".") and len(re.findall(r"[.?](?= [A-Z]|$)", meaning.strip())) <= 3, names
