"""The error family: what went wrong, where in which file, and the way out.

Every error that leaves the library is an `ImgkitError`. Foreign exceptions (OSError, construct's, libguestfs's) are
translated at the edge where they arise. Exit codes are not known here; `imgkit.cli` maps classes to them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ImgkitError(Exception):
    """Root of the family.

    `message` is one sentence for a person. `hint` is the way out, an imperative sentence, or None where there is none.
    `image` is the path or URL of the image that was open, "" where none was.
    """

    image: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a trip between processes, which the keyword-only arguments of the subclasses would prevent."""
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[ImgkitError], state: dict[str, object]) -> ImgkitError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class FormatError(ImgkitError):
    """The bytes of an image contradict their format.

    `path` names the image ("" while a parser does not know it yet; whoever opened the image fills it in), `structure`
    the structure in the specification's words, `offset` its byte position in what was being parsed, `field` the field.
    """

    def __init__(
        self,
        message: str,
        *,
        structure: str,
        offset: int,
        field: str = "",
        path: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.structure = structure
        self.offset = offset
        self.field = field
        self.path = path

    def __str__(self) -> str:
        where = f"{self.structure} at byte {self.offset:,}"
        if self.field:
            where += f", field {self.field}"
        prefix = f"{self.path}: " if self.path else ""
        return f"{prefix}{self.message} ({where})"


class UnsupportedError(ImgkitError):
    """Valid input that cannot be handled safely here; the hint names the engine, tool or option that can."""


class PartlyEnabledError(ImgkitError):
    """A serial console that can be enabled in part only; without --strict that part is written."""


class LockedVolumeError(UnsupportedError):
    """An encrypted volume that no key opens."""


class UnclassifiedImageError(ImgkitError):
    """The file is no image that imgkit knows, or holds nothing of the kind that was asked for."""


class InUseError(ImgkitError):
    """Another process has the image, or the console of a machine, open in a way that conflicts."""


class StaleImageError(ImgkitError):
    """The image changed between staging and commit, or a journal or undo file does not belong to it."""


class OutputError(ImgkitError):
    """Output cannot be written: target exists, directory is read-only, no space, terminal."""


class EngineError(ImgkitError):
    """An engine (libext2fs, the libguestfs appliance) is missing or failed."""


class GuestError(ImgkitError):
    """There is no one installed system to work on."""


class NoRootError(GuestError):
    """No installed system was found, or none of the name that was asked for."""


class TreeError(ImgkitError):
    """An operation on a file of a tree failed. `path` is the path inside the tree."""

    def __init__(self, message: str, *, path: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@contextmanager
def in_image(name: object) -> Iterator[None]:
    """Have what is raised know the image that is open, unless it is about an option or another file."""
    try:
        yield
    except (OutputError, UsageError):
        raise
    except ImgkitError as error:
        error.image = error.image or str(name)
        raise


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Have a TreeError name the path in the tree; what raises it may know only the end of it."""
    try:
        yield
    except TreeError as error:
        error.path = path
        raise


class PathNotFoundError(TreeError):
    """No such file or directory in the tree."""


class ConfigError(ImgkitError):
    """A boot or login configuration file cannot be understood well enough to be changed.

    `line` counts from 1; 0 means the file as a whole. `path` is filled in by whoever knows it.
    """

    def __init__(self, message: str, *, line: int = 0, path: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.path = path

    def __str__(self) -> str:
        where = self.path + (f":{self.line}" if self.line else "")
        return f"{where}: {self.message}" if where else self.message


class LocationError(ImgkitError):
    """An install tree or a file of it cannot be found, read, or trusted."""


class ChecksumError(LocationError):
    """A file is not the one that its checksum stands for."""


class MachineError(ImgkitError):
    """A virtual machine cannot be made, started, reached, or found."""


class UsageError(ImgkitError):
    """The caller's options contradict each other or miss something."""


class MissingFileError(UsageError, UnclassifiedImageError):
    """A file of this machine that was named is not there.

    An UnclassifiedImageError as well, as an image that cannot be read is one, whatever the reason.
    """


class ReaderEnded(BaseException):
    """In the parent: the confined child has ended, with this exit status and, if it had one, a result for the caller.

    No error: the command is over, and the child has said all there was to say.
    """

    def __init__(self, status: int, result: bytes | None) -> None:
        super().__init__(status)
        self.status = status
        self.result = result
