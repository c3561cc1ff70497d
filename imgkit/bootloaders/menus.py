"""What boots by itself, whichever boot loader shows the menu: read, changed where that is allowed, and announced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgkit.bootloaders import menu_for
from imgkit.bootloaders.bootmenu import DEFAULT_TIMEOUT, titles
from imgkit.configtext.options import DefaultEntry
from imgkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgkit.bootloaders.bootmenu import BootMenu, Choice
    from imgkit.bootloaders.files import BootFile
    from imgkit.treeedits import TreeEdits

_MAX_TITLES = 20


def boot_menus(edits: TreeEdits, boot: BootFile) -> Iterator[BootMenu]:
    """The menus that a configuration shows; none for a boot loader whose default is left alone."""
    module = menu_for(boot)
    if module is not None:
        yield from module.read(edits, boot.path)


def all_menus(edits: TreeEdits, boots: Iterable[BootFile]) -> list[BootMenu]:
    """The menus of several configurations, each once, as they are now."""
    found = (menu for boot in boots for menu in boot_menus(edits, boot))
    return list({menu.file: menu for menu in found}.values())


def check_title(menus: Sequence[BootMenu], wanted: str) -> None:
    """Raise UsageError where `--default` names an entry that no menu has, or that more than one entry of each could be.

    The fixed words `keep` and `text` pass.
    """
    if wanted in tuple(DefaultEntry) or any(menu.titled(wanted) for menu in menus):
        return
    known = titles(menus)
    more = f" and {len(known) - _MAX_TITLES} more" if len(known) > _MAX_TITLES else ""
    raise UsageError(
        f"--default {wanted!r}: no boot menu has exactly one such entry",
        hint=f"Name one of: {', '.join(map(repr, known[:_MAX_TITLES]))}{more}." if known else "",
    )


def improve(
    edits: TreeEdits, boot: BootFile, *, default: str = DefaultEntry.TEXT, answered: Callable[[Choice], bool]
) -> None:
    """Change what the menus of a configuration boot by themselves, as far as `default` asks for it.

    `answered` tells whether an installer finds answers, so that it may ask nothing although its arguments do not tell:
    then what boots by itself stays.
    """
    module = menu_for(boot)
    if module is None or default == DefaultEntry.KEEP:
        return
    for menu in list(boot_menus(edits, boot)):
        better = _wanted(menu, default, answered)
        if better is not None:
            module.set_default(edits, menu, better)
    for menu in list(boot_menus(edits, boot)):
        if menu.may_start_itself() and not any(map(answered, menu.starts)):
            module.set_timeout(edits, menu, DEFAULT_TIMEOUT)


def _wanted(menu: BootMenu, default: str, answered: Callable[[Choice], bool]) -> Choice | None:
    """The choice that is to boot by itself instead; None where the menu stays as it is."""
    if default != DefaultEntry.TEXT:
        named = menu.titled(default)
        return None if named is None or (named == menu.default and menu.on_enter is None) else named
    twin = menu.text_twin(menu.default)
    if twin is None or menu.default is None or any(map(answered, (menu.default, twin, *menu.others))):
        return None
    if any(twin not in (other, menu.text_twin(other)) for other in menu.others):
        return None  # conditions decide, and one of them starts something else
    return twin


def announce(edits: TreeEdits, before: Sequence[BootMenu], after: Sequence[BootMenu], *, default: str) -> None:
    """Announce each menu that boots something else by itself than before, or at another time."""
    old = {menu.file: menu for menu in before}
    for menu in after:
        was = old.get(menu.file)
        if was is None:
            continue
        if _title(menu.default) != _title(was.default):
            why = "the same installer in text" if default == DefaultEntry.TEXT else "as asked"
            change = f"now boots {_title(menu.default)} by default, instead of {_title(was.default)}"
            edits.announce(f"{menu.file}: {change} ({why})")
        if menu.seconds != was.seconds:
            edits.announce(f"{menu.file}: now {_waits(menu.seconds)} (before: {_waits(was.seconds)})")
        if default not in tuple(DefaultEntry) and menu.choices and menu.titled(default) is None:
            edits.announce(f"{menu.file}: has no entry {default!r}; its default is still {_title(menu.default)}")


def _title(choice: Choice | None) -> str:
    return repr(choice.full_title) if choice else "nothing"


def _waits(seconds: float | None) -> str:
    return "waits for a key, with no timeout" if seconds is None else f"boots after {seconds:g} s"
