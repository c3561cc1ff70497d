"""A host whose name has a domain: libvirt calls it by its canonical name, the kernel by the short one."""

import pytest

from tests.cli.command import imgkit
from tests.support import oracle
from tests.support.images import private_copy
from tests.support.session import own_session

pytestmark = pytest.mark.boot  # needs libvirt and its QEMU driver

# As Debian's installer and cloud-init write it.
HOSTS = "127.0.0.1 localhost\n127.0.1.1 box.example.org box\n"


@pytest.mark.parametrize("uri", ["qemu:///session", "qemu:///embed"])
def test_machines_are_made_on_a_host_with_a_domain(tmp_path, uri):
    (tmp_path / "hosts").write_text(HOSTS)
    image = private_copy("small-qcow2", tmp_path)
    own_names = ("unshare", "--user", "--map-current-user", "--keep-caps", "--uts", "--mount", "sh", "-c")
    renamed = f'hostname box && mount --bind {tmp_path}/hosts /etc/hosts && exec "$@"'
    with own_session():
        said = oracle.run(*own_names, renamed, "sh", "sh", "-c", "uname -n; virsh -c qemu:///session hostname").stdout
        assert said.split() == ["box", "box.example.org"]
        words = ("vm", "import", "mine", image, "--dry-run")
        where = f"{uri}?root={tmp_path}/embedded" if uri.endswith("embed") else uri
        done = imgkit(*words, "--connect", where, through=(*own_names, renamed, "sh"))
    assert done.status == 0, done.stderr
    assert "<domain type=" in done.text
