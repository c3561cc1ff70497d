"""Random sequences of edits against a model: e2fsck is content afterwards, and debugfs finds what the model has."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgkit.errors import OutputError
from imgkit.filesystem.base import Check
from imgkit.filesystem.ext.filesystem import ExtFileSystem, open_ext
from tests.filesystem.images import EXT_FEATURES, NOW, TREE, assert_ext_clean, device_tree, ext_device

NAMES = st.sampled_from(["a", "b", "c", "file", "directory", "x" * 60, "y" * 255, "\u00e4\u20ac", "z.conf"])
SIZES = st.sampled_from([0, 1, 59, 60, 61, 150, 160, 500, 1023, 1024, 1025, 4096, 5000, 13 * 1024 + 1, 70_000])
TARGETS = st.sampled_from([1, 59, 60, 61, 200, 1000])
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "mkdir", "symlink", "remove", "xattr", "flush"]),
        st.lists(NAMES, min_size=1, max_size=3),
        SIZES,
        TARGETS,
        st.binary(min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=40,
)
PROPERTY = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def apply(fs: ExtFileSystem, model: TREE, operation: str, path: str, data: bytes, target: str) -> None:
    """Do one thing in both, if the model allows it."""
    parent = path.rsplit("/", 1)[0]
    possible = parent == "" or (parent in model and model[parent] is None)
    match operation:
        case "write" if possible and not (path in model and not isinstance(model[path], bytes)):
            fs.write(path, data)
            model[path] = data
        case "mkdir" if possible and path not in model:
            fs.mkdir(path)
            model[path] = None
        case "symlink" if possible and path not in model:
            fs.symlink(target, path)
            model[path] = target
        case "remove" if path in model and not any(other.startswith(path + "/") for other in model):
            fs.remove(path)
            del model[path]
        # e2fsck 1.47.0 cannot count the attribute block of a link whose target is inline data.
        case "xattr" if path in model and not isinstance(model[path], str):
            fs.set_xattr(path, "user.note", data[:300])
        case "flush":
            fs.flush()


@pytest.mark.parametrize("options", [options for options in EXT_FEATURES if "65536" not in options])
@pytest.mark.parametrize("trust_checksums", [False, True])
@PROPERTY
@given(operations=OPERATIONS)
def test_random_edits(
    options: str, trust_checksums: bool, operations: list[tuple[str, list[str], int, int, bytes]]
) -> None:
    device, model = ext_device(options), TREE()
    with pytest.MonkeyPatch.context() as patch, open_ext(device, writable=True, now=NOW) as fs:
        # As if the file system were too large for a full check: every inode is checked when it is touched.
        patch.setattr("imgkit.filesystem.ext.filesystem._needs_full_check", lambda _superblock: not trust_checksums)
        for operation, names, size, target, pattern in operations:
            data = (pattern * (size // len(pattern) + 1))[:size]
            apply(fs, model, operation, "/" + "/".join(names), data, "t" * min(target, 1000))
        for path, content in model.items():
            if isinstance(content, bytes):
                assert fs.read(path) == content
        fs.flush()
    assert_ext_clean(device)
    assert device_tree(device) == model
    open_ext(device, writable=False, now=NOW, check=Check.FULL).close()


@pytest.mark.parametrize("options", ["-t ext4 -b 1024 -O ^has_journal", "-t ext2 -b 1024"])
@PROPERTY
@given(sizes=st.lists(st.integers(0, 400_000), min_size=1, max_size=30))
def test_up_to_the_last_block(options: str, sizes: list[int]) -> None:
    """What fits is right; what does not fit says so, and the edits are thrown away."""
    device, model = ext_device(options, "1M"), TREE()
    with open_ext(device, writable=True, now=NOW) as fs:
        for number, size in enumerate(sizes):
            path, data = f"/{number % 5}", bytes([number]) * size
            if not _fits(fs, path, data):
                return
            model[path] = data
        fs.flush()
    assert_ext_clean(device)
    assert device_tree(device) == model


def _fits(fs: ExtFileSystem, path: str, data: bytes) -> bool:
    try:
        fs.write(path, data)
    except OutputError:
        return False
    return True
