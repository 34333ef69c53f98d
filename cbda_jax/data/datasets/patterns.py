"""Patterns of paths with named parts, by which files are found and images matched with labels."""

import re
from functools import cached_property

from cbda_jax.data.datasets.trees import File, Tree
from cbda_jax.errors import InputError

_TOKEN = re.compile(r"\{(?P<part>[^{}]*)\}|(?P<deep>\*\*/)|(?P<star>\*)|(?P<other>[^{}*]+|[{}])")


class Pattern:
    """A path below a data set's folder, such as `rgb/{city}/{id}.{jpg|png}`.

    `{name}` stands for a named part, of letters, digits and all else but `/`; `{a|b}` for one of
    some texts; `*` for any text without `/`; `**/` for folders to any depth, or none. Whether the
    ending is written in capitals does not count: `.jpg` finds `.JPG`.

    Args:
        text: the pattern.
        where: what it is of, for errors.

    Attributes:
        text: as above.
        parts: the names of its parts, in their order.

    Raises:
        InputError: it has no part, a part twice, or a name that is none; it is an absolute path.
    """

    def __init__(self, text: str, where: str = "pattern"):
        self.text = text
        self.parts: tuple[str, ...] = ()
        problem = None
        if text.startswith("/") or ".." in text.split("/"):
            problem = "a path below the data set's folder"
        else:
            tokens = [*_TOKEN.finditer(text)]
            names = [m["part"] for m in tokens if m["part"] is not None and "|" not in m["part"]]
            self.parts = tuple(names)
            if any(m["other"] in ("{", "}") for m in tokens):
                problem = "every { closed by a }"
            elif not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names):
                problem = "names of letters, digits and _ in { }, or texts divided by |"
            elif not names or len(set(names)) < len(names):
                problem = "one named part such as {id} at least, and none twice"
        if problem is not None:
            raise InputError(
                f"{where}: {text!r} found, expected {problem}, as in 'images/{{id}}.jpg'; correct "
                "the declaration"
            )

    @cached_property
    def folder(self) -> str:
        """The folders at the beginning that are the same for all files; empty for none."""
        fixed = re.split(r"[{*]", self.text, maxsplit=1)[0]
        return fixed.rpartition("/")[0]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        rest = self.text.removeprefix(self.folder).removeprefix("/")
        stem, dot, ending = rest.rpartition(".")
        # A part at the end is none of the ending's: {id}.{jpg|png} is, {folder}.v2/{id} is not.
        if not dot or "/" in ending or re.search(r"\{\w+\}", ending):
            return re.compile(_expression(rest))
        return re.compile(f"{_expression(stem)}(?i:{re.escape(dot)}{_expression(ending)})")

    def match(self, path: str) -> dict[str, str] | None:
        """The named parts of a path below `folder`; None if it is another one."""
        found = self._regex.fullmatch(path)
        return None if found is None else found.groupdict()

    def find(self, tree: Tree, parents: tuple[str, ...] = ("",)) -> dict[str, File]:
        """All files of a tree that match, by their path below `folder`.

        Args:
            tree: where to look.
            parents: folders of the tree in which `folder` may lie.

        Raises:
            InputError: a folder or an archive cannot be read, or has a file twice.
        """
        return tree.below(self.folder, lambda path: self.match(path) is not None, parents=parents)

    def missing(self, tree: Tree) -> InputError:
        """The error of a tree in which nothing matches."""
        return tree.missing(self.folder, self.text.removeprefix(self.folder).removeprefix("/"))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _expression(text: str) -> str:
    """The regular expression of a piece of a pattern."""

    def one(match: re.Match[str]) -> str:
        part = match["part"]
        if part is not None:
            choices = "|".join(map(re.escape, part.split("|")))
            return f"(?:{choices})" if "|" in part else f"(?P<{part}>[^/]+)"
        if match["deep"]:
            return "(?:.*/)?"
        return "[^/]*" if match["star"] else re.escape(match["other"])

    return _TOKEN.sub(one, text)
