"""Edits of a tree's text files, collected as changes; nothing is written to the tree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from imgkit.configtext.text import MAX_SIZE, decode, encode
from imgkit.errors import ConfigError, TreeError
from imgkit.tree import Change, FileType, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from imgkit.tree import Attributes, Tree

_Found = TypeVar("_Found")


class TreeEdits:
    """A tree as it will be. Later steps of a recipe see what earlier ones have edited. `tree` is the one that is.

    `announcements` are sentences on what the image will do otherwise than before, such as another default entry.
    """

    def __init__(self, tree: Tree) -> None:
        self.announcements: list[str] = []
        self.tree = tree
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes | None] = {}
        self._links: dict[str, str] = {}
        self._removed: dict[str, str] = {}
        self._directories: dict[str, Attributes] = {}
        self._attributes: dict[str, Attributes] = {}
        self._secrets: set[str] = set()
        self._spellings: dict[str, dict[str, str]] = {}
        self._remembered: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, tree: Tree | TreeEdits) -> TreeEdits:
        """The edits of a tree, none as yet; edits as they are."""
        return tree if isinstance(tree, TreeEdits) else cls(tree)

    def read(self, path: str, *, limit: int = MAX_SIZE) -> bytes | None:
        """Contents of a file; None where there is none. ConfigError, with its path, for one of more than `limit`."""
        if path not in self._after:
            size = self.size(path)
            if size is not None and size > limit:
                raise ConfigError(f"too long for what it should be: {size:,} bytes", path=path)
            self._before[path] = self._after[path] = None if size is None else self.tree.read(path)
        return self._after[path]

    def head(self, path: str, length: int) -> bytes:
        """The first bytes of a file of the tree, however long it is; none where there is no file."""
        return b"" if self.size(path) is None else read_head(self.tree, path, length)

    def size(self, path: str) -> int | None:
        """Size of a file of the tree, in bytes; None where there is none."""
        try:
            found = self.tree.stat(path)
        except TreeError:
            return None
        return found.size if found.type is FileType.FILE else None

    def text(self, path: str) -> str | None:
        """Contents of a text file; None where there is none. ConfigError, with its path, where it is no text."""
        data = self.read(path)
        if data is None:
            return None
        with named(path):
            return decode(data)

    def edit(self, path: str, edit: Callable[[str], str]) -> None:
        """Edit a text file, if it exists. What `edit` raises gets the path."""
        text = self.text(path)
        if text is not None:
            with named(path):
                self._set(path, encode(edit(text)))

    def edit_or_create(self, path: str, edit: Callable[[str], str]) -> None:
        """Edit a text file, or make it from what `edit` makes of the empty text."""
        with named(path):
            self.put(path, edit(self.text(path) or ""))

    def edit_bytes(self, path: str, edit: Callable[[bytes], bytes]) -> None:
        """Edit a file, if it exists."""
        data = self.read(path)
        if data is not None:
            with named(path):
                self._set(path, edit(data))

    def put(self, path: str, text: str) -> None:
        """Give a file this text, whether it exists or not."""
        self.read(path)
        self._set(path, encode(text))

    def put_bytes(self, path: str, data: bytes, attributes: Attributes | None = None, *, secret: bool = False) -> None:
        """Give a file these contents, whether it exists or not; a new one gets the attributes.

        Contents that are `secret` are not shown in a diff.
        """
        is_new = self.read(path) is None
        self._set(path, data)
        if is_new and attributes is not None:
            self._attributes[path] = attributes
        if secret:
            self._secrets.add(path)

    def make_directory(self, path: str, attributes: Attributes) -> None:
        """Have a directory at `path`, unless something is there."""
        if not self.is_there(path):
            self._directories[path] = attributes
            self._remembered.clear()

    def link(self, path: str, target: str) -> None:
        """Have a symbolic link at `path`, unless something is there."""
        if not self.is_there(path):
            self._links[path] = target
            self._remembered.clear()

    def remove(self, path: str) -> None:
        """Remove a link, or a file."""
        if self._type(path) is FileType.LINK:
            self._removed[path] = self._link_target(path)
            self._remembered.clear()
        elif self.read(path) is not None:
            self._set(path, None)

    def remember(self, key: Hashable, find: Callable[[], _Found]) -> _Found:
        """What `find` finds out about the files, found out once as long as nothing is edited. `key` stands for it."""
        if key not in self._remembered:
            self._remembered[key] = find()
        return cast("_Found", self._remembered[key])

    def announce(self, sentence: str) -> None:
        """Have whoever asked for the edits told of a change in what the image does by itself. Twice is once."""
        if sentence not in self.announcements:
            self.announcements.append(sentence)

    def is_there(self, path: str) -> bool:
        """Whether the tree has anything at `path`, be it a link that leads nowhere."""
        if path in self._links or path in self._directories or self._after.get(path) is not None:
            return True
        gone = path in self._removed or (self._before.get(path) is not None and self._after[path] is None)
        return not gone and self._type(path) is not None

    def spelled(self, path: str) -> str | None:
        """The path as the tree spells it: boot loaders match names in any case, as FAT and ISO 9660 do. None: none."""
        if self.is_there(path):
            return path
        at = ""
        for wanted in filter(None, path.split("/")):
            name = self._spellings_in(at or "/").get(wanted.lower())
            if name is None:
                return None
            at = f"{at}/{name}"
        return at or "/"

    def link_target(self, path: str) -> str:
        """Where the link at `path` leads; "" where there is none, or no longer."""
        return "" if path in self._removed else self._links.get(path) or self._link_target(path)

    def names(self, folder: str) -> list[str]:
        """Sorted names in a directory, those that edits have made among them; none where there is no such directory."""
        try:
            found = self.tree.listdir(folder)
        except TreeError:
            found = []
        below = f"{folder.rstrip('/')}/"
        there = (*self._links, *self._directories, *(path for path, data in self._after.items() if data is not None))
        made = {path[len(below) :].partition("/")[0] for path in there if path.startswith(below)}
        gone = {path[len(below) :] for path in self._gone() if path.startswith(below)}
        return sorted({*found, *made} - gone) if made or gone else found

    def changes(self) -> list[Change]:
        """What differs from the tree, sorted by path."""
        edited = [
            Change(path, self._before[path], after, attributes=self._attributes.get(path), secret=path in self._secrets)
            for path, after in self._after.items()
            if after != self._before[path]
        ]
        linked = [Change(path, None, target.encode(), link=True) for path, target in self._links.items()]
        removed = [Change(path, target.encode(), None, link=True) for path, target in self._removed.items()]
        made = [Change(path, None, b"", directory=True, attributes=each) for path, each in self._directories.items()]
        return sorted(edited + linked + removed + made, key=lambda change: change.path)

    def _gone(self) -> list[str]:
        files = [path for path, after in self._after.items() if after is None and self._before[path] is not None]
        return [*files, *(path for path in self._removed if path not in self._links)]

    def _set(self, path: str, data: bytes | None) -> None:
        if self._after.get(path) != data:
            self._remembered.clear()
        self._after[path] = data

    def _spellings_in(self, folder: str) -> dict[str, str]:
        """The names in a directory by their lower case; kept, because directories of an ISO may be long."""
        if folder not in self._spellings:
            self._spellings[folder] = {name.lower(): name for name in reversed(self.names(folder))}
        return self._spellings[folder]

    def _type(self, path: str) -> FileType | None:
        try:
            return self.tree.stat(path, follow=False).type
        except TreeError:
            return None

    def _link_target(self, path: str) -> str:
        return self.tree.readlink(path) if self._type(path) is FileType.LINK else ""


@contextmanager
def named(path: str) -> Iterator[None]:
    """Give a ConfigError that passes the path of the file that it speaks of, and a hint if it has none."""
    try:
        yield
    except ConfigError as error:
        error.path = error.path or path
        error.hint = error.hint or f"Correct {error.path} with `imgkit edit`."
        raise
