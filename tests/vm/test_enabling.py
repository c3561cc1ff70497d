"""Whether a machine would be silent on the port that it has: ttyS0, whatever port the image talks on."""

import pytest

from imgkit.vm.install.enabling import has_console
from tests.cli.command import imgkit
from tests.support.images import private_copy


@pytest.mark.parametrize(("options", "heard"), [([], True), (["--baud", "9600"], True), (["--port", "ttyS1"], False)])
def test_a_console_on_the_machines_own_port_is_enough(tmp_path, options, heard):
    image = private_copy("small-qcow2", tmp_path)
    assert not has_console(image)
    assert imgkit("console", "enable", image, "--in-place", *options).status == 0
    assert has_console(image) == heard
