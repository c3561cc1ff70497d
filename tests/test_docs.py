"""The documents that point to others: nothing is left out, and nothing leads nowhere."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
DOCUMENTS = [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), TOP / "docs/decisions/README.md"]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")


def test_every_decision_is_in_the_index():
    index = (TOP / "docs/decisions/README.md").read_text()
    listed = set(re.findall(r"\]\((\d{3}-[^)]+\.md)\)", index))
    assert listed == {path.name for path in TOP.glob("docs/decisions/[0-9]*.md")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_to_what_is_there(document):
    broken = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert broken == []


def test_the_architecture_names_rooms_and_modules_that_are_there():
    text = (TOP / "docs/architecture.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*(?:\.py|/))`", text))
    assert named
    missing = {name for name in named if not any((TOP / top / name).exists() for top in ("imgkit", "."))}
    assert missing == set()
