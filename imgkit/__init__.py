"""Give Linux images a working serial console, without root.

The names in `__all__` are the library's public interface, described in `README.md`; what they take and return is public
with them. Versions follow semantic versioning (https://semver.org) for these names and for the command line. Everything
else, all modules of this package included, is private by convention, and may change with any version.

    import imgkit

    enabled = imgkit.enable_console("debian.qcow2", "serial.qcow2")     # disks and ISOs alike
    status = imgkit.console_status("serial.qcow2")
    with imgkit.open("debian-12-netinst.iso") as image:
        print(image.kind, image.tree.listdir("/"))

Each name is imported when it is used for the first time (PEP 562), so that `import imgkit` costs next to nothing.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

# The types of these names are in `__init__.pyi`, where checkers look.
_HOMES = {
    "imgkit.library": ("EditedTree", "Image", "ImageKind", "edit", "open", "undo", "verify"),
    "imgkit.accounts.status": ("Account", "LoginStatus"),
    "imgkit.accounts.wanted": ("LoginOptions",),
    "imgkit.console.answering": ("answer_iso",),
    "imgkit.installers": ("AnswerKind",),
    "imgkit.installers.answering": ("AnswerFile",),
    "imgkit.console.login": ("EnabledLogin", "enable_login", "login_status"),
    "imgkit.console.enabling": ("EnabledConsole", "console_status", "enable_console"),
    "imgkit.console.judge": ("Verdict",),
    "imgkit.configtext.checks": ("Check", "CheckKind", "Status"),
    "imgkit.configtext.options": ("DefaultEntry", "EnableOptions"),
    "imgkit.configtext.serial": ("SerialConsole",),
    "imgkit.editing": ("Edited", "ImageSource"),
    "imgkit.formats.image": ("Format",),
    "imgkit.guest.engines.choice": ("EngineChoice",),
    "imgkit.inspection": ("Inspection", "IsoInspection"),
    "imgkit.storage.output": ("InPlace", "NewFile", "Stream"),
    "imgkit.tree": ("Attributes", "Change", "FileType", "Stat", "Tree"),
    "imgkit.vm.verification": ("Verification",),
    "imgkit.errors": (
        "ChecksumError",
        "ConfigError",
        "EngineError",
        "FormatError",
        "GuestError",
        "ImgkitError",
        "InUseError",
        "LocationError",
        "LockedVolumeError",
        "MachineError",
        "MissingFileError",
        "NoRootError",
        "OutputError",
        "PartlyEnabledError",
        "PathNotFoundError",
        "StaleImageError",
        "TreeError",
        "UnclassifiedImageError",
        "UnsupportedError",
        "UsageError",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - strings all the same


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(_import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
