"""Documents: the README is short, links lead somewhere, and the files they name exist."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
IN_REPOSITORY = re.compile(
    r"(?:\.ci|\.github|cbda_jax|configs|docs|examples|scripts|tests)/[\w./-]*"
)
# Named as what was there before.
GONE = {"cbda_jax/ranges.py", "configs/common.py"}


def text(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    """The page without blocks of code, in which brackets mean something else."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)


def blocks(page):
    """The commands of the shell blocks, one a line."""
    found = re.findall(r"^```sh\n(.*?)^```", text(page), flags=re.DOTALL | re.MULTILINE)
    return "".join(found).replace("\\\n", " ").splitlines()


def anchors(page):
    """What a heading is called in a link, as GitHub names it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def there(path):
    """Whether a path of the repository, with dots and slashes, is a file or a folder of it."""
    return (ROOT / path).exists()


def name(page):
    return page.relative_to(ROOT).as_posix()


def test_the_readme_is_short():
    assert len(text(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize(
    "command",
    [
        "pip install -e . && python -m cbda_jax.main --config=configs/synthetic.py",
        "pip install -e '.[test]' && python -m pytest",
    ],
)
def test_the_readme_has_its_two_commands(command):
    assert command in text(ROOT / "README.md").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        inside = aim.is_relative_to(ROOT) and there(aim.relative_to(ROOT).as_posix())
        if not inside or (anchor and aim.exists() and anchor not in anchors(aim)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_files_exist(page):
    named = {
        path
        for quoted in QUOTED.findall(prose(page))
        for word in quoted.split()
        if (match := IN_REPOSITORY.fullmatch(word.strip("(),;:").partition(":")[0]))
        for path in [match.group()]
    }
    assert not {path for path in named - GONE if not there(path)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_programs_in_commands_exist(page):
    words = [word for line in blocks(page) for word in shlex.split(line, comments=True)]
    words = [word.removeprefix("--config=").partition(":")[0] for word in words]
    named = {word for word in words if IN_REPOSITORY.fullmatch(word) and not word.endswith("/")}
    assert not {path for path in named if not there(path)}


def test_pages_are_reached_from_the_index():
    """In clicks from the README."""
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or not page.exists() or page.suffix != ".md":
            continue
        seen.add(page)
        for target in LINK.findall(prose(page)):
            if not re.match(r"[a-z]+:", target):
                left.append((page.parent / target.partition("#")[0]).resolve())
    assert set(PAGES) <= seen
