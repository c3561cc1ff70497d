"""Which command lines may install without asking, as the installers' documentation and real menus have them."""

from __future__ import annotations

import pytest

from imgkit.configtext.unattended import is_unattended


@pytest.mark.parametrize(
    "line",
    [
        "auto=true priority=critical preseed/file=/cdrom/preseed.cfg --- quiet",
        "auto url=http://192.0.2.1/d-i/bookworm/preseed.cfg",
        "auto-install/enable=true priority=critical url=http://192.0.2.1/cblr/svc/op/autoinstall/profile/web",
        "file=/cdrom/preseed/auto.seed quiet",
        "file=/cdrom/preseed/ubuntu.seed automatic-ubiquity quiet",
        "autoinstall ds=nocloud;s=/cdrom/nocloud/ ---",
        "autoinstall 'ds=nocloud-net;s=http://192.0.2.1/'",
        "inst.stage2=hd:LABEL=R9 inst.ks=cdrom:/ks.cfg quiet",
        "ks=http://192.0.2.1/ks ksdevice=bootif",
        "inst.repo=cdrom inst.cmdline",
        "splash=silent AutoYaST=http://192.0.2.1/autoinst.xml",
        "inst.auto=http://192.0.2.1/profile.jsonnet",
        "agama.auto=http://192.0.2.1/profile.json",
        "cdinst=1 quiet",
        "coreos.inst.install_dev=/dev/sda coreos.inst.ignition_url=http://192.0.2.1/a.ign",
        "archisobasedir=arch script=https://192.0.2.1/install.sh",
        "modules=loop,squashfs apkovl=http://192.0.2.1/host.apkovl.tar.gz",
        "ro quiet splash=silent proxmox-start-auto-installer",
        "answerfile=http://192.0.2.1/answers.xml install",
        "boot=live ocs_live_batch=yes",
        'nwipe_options="--autonuke --method=zero"',
        "talos.platform=metal talos.config=http://192.0.2.1/c.yaml",
    ],
)
def test_it_may_ask_nothing(line):
    assert is_unattended(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "vga=788 --- quiet",
        "priority=low vga=788 ---",
        "desktop=xfce theme=dark vga=788 --- quiet",
        "file=/cdrom/preseed/ubuntu-server.seed quiet ---",
        "file=/cdrom/preseed/linuxmint.seed boot=casper quiet splash --",
        "preseed/file=/cdrom/simple-cdd/default.preseed simple-cdd/profiles=kali desktop=xfce --- quiet",
        "ip=dhcp url=http://192.0.2.1/ubuntu-24.04-live-server-amd64.iso ---",
        "inst.stage2=hd:LABEL=Fedora-S-dvd-x86_64-40 rd.live.check quiet",
        "ksdevice=bootif lang= text",
        "splash=silent install=http://192.0.2.1/repo showopts",
        "ignition.firstboot ignition.platform.id=metal coreos.liveiso=fcos-40",
        "archisobasedir=arch archisodevice=UUID=1",
        "modules=loop,squashfs,sd-mod,usb-storage quiet",
        "ro ramdisk_size=16777216 rw quiet splash=silent proxtui",
    ],
)
def test_it_asks(line):
    assert not is_unattended(line.split())


def test_answers_in_an_initrd_of_their_own():
    assert is_unattended((), ("/install.amd/initrd.gz", "/preseed.cpio.gz"))
    assert is_unattended((), ("/images/initrd.img", "/ks.img"))
    assert not is_unattended((), ("/install.amd/gtk/initrd.gz", "/boot/intel-ucode.img", "/disks.img"))
