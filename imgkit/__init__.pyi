# The types of the public interface. `__init__.py` says what is public, and where each name comes from.

from imgkit.configtext.checks import Check as Check
from imgkit.configtext.checks import CheckKind as CheckKind
from imgkit.configtext.checks import Status as Status
from imgkit.configtext.options import DefaultEntry as DefaultEntry
from imgkit.configtext.options import EnableOptions as EnableOptions
from imgkit.configtext.serial import SerialConsole as SerialConsole
from imgkit.console.enabling import EnabledConsole as EnabledConsole
from imgkit.console.enabling import console_status as console_status
from imgkit.console.enabling import enable_console as enable_console
from imgkit.console.judge import Verdict as Verdict
from imgkit.editing import Edited as Edited
from imgkit.editing import ImageSource as ImageSource
from imgkit.errors import ChecksumError as ChecksumError
from imgkit.errors import ConfigError as ConfigError
from imgkit.errors import EngineError as EngineError
from imgkit.errors import FormatError as FormatError
from imgkit.errors import GuestError as GuestError
from imgkit.errors import ImgkitError as ImgkitError
from imgkit.errors import InUseError as InUseError
from imgkit.errors import LocationError as LocationError
from imgkit.errors import LockedVolumeError as LockedVolumeError
from imgkit.errors import MachineError as MachineError
from imgkit.errors import MissingFileError as MissingFileError
from imgkit.errors import NoRootError as NoRootError
from imgkit.errors import OutputError as OutputError
from imgkit.errors import PartlyEnabledError as PartlyEnabledError
from imgkit.errors import PathNotFoundError as PathNotFoundError
from imgkit.errors import StaleImageError as StaleImageError
from imgkit.errors import TreeError as TreeError
from imgkit.errors import UnclassifiedImageError as UnclassifiedImageError
from imgkit.errors import UnsupportedError as UnsupportedError
from imgkit.errors import UsageError as UsageError
from imgkit.formats.image import Format as Format
from imgkit.guest.engines.choice import EngineChoice as EngineChoice
from imgkit.inspection import Inspection as Inspection
from imgkit.inspection import IsoInspection as IsoInspection
from imgkit.library import EditedTree as EditedTree
from imgkit.library import Image as Image
from imgkit.library import ImageKind as ImageKind
from imgkit.library import edit as edit
from imgkit.library import open as open  # noqa: A004 - as `imgkit.open`
from imgkit.library import undo as undo
from imgkit.library import verify as verify
from imgkit.storage.output import InPlace as InPlace
from imgkit.storage.output import NewFile as NewFile
from imgkit.storage.output import Stream as Stream
from imgkit.tree import Change as Change
from imgkit.tree import FileType as FileType
from imgkit.tree import Stat as Stat
from imgkit.tree import Tree as Tree
from imgkit.vm.verification import Verification as Verification

__version__: str
