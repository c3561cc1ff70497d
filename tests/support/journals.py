"""An image whose edit was interrupted, for the tests of journals."""

from imgkit.formats.image import open_image
from imgkit.storage import journal
from imgkit.storage.host import HostFile
from imgkit.storage.journal import journal_path
from imgkit.storage.overlay import Patch, PatchPlan
from imgkit.storage.patchfile import PatchFile, serialise

OLD = bytes(range(256)) * 400
PLAN = PatchPlan((Patch(10, OLD[10:20], b"x" * 10), Patch(50_000, OLD[50_000:50_600], b"y" * 600)), len(OLD), len(OLD))
NEW = OLD[:10] + b"x" * 10 + OLD[20:50_000] + b"y" * 600 + OLD[50_600:]
HALF = OLD[:10] + b"x" * 10 + OLD[20:]


def interrupted(image, content=HALF, plan=PLAN, *, marked=True):
    """Leave an image as a kill does in the middle of the commit of `plan`; the journal."""
    with HostFile(image) as host:
        record = PatchFile.of(host, plan, 5)
    path = journal_path(image)
    path.write_bytes(serialise(record))
    path.chmod(0o600)
    with image.open("r+b") as file:
        file.write(content)
        file.truncate()
        if marked:
            journal.set_mark(file.fileno(), record, path)
    return path


def shown(image):
    """What a reader sees, who may not write anything."""
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in image.parent.iterdir()}
    with open_image(image) as opened:
        data = opened.host.read_at(0, opened.host.size)
        pending = opened.pending
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in image.parent.iterdir()} == before
    return data, pending
