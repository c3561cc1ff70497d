"""Kernel arguments that have an installer ask nothing: whoever boots such an entry may lose what is on the disk.

A mark that is missed may cost a disk, one too many only leaves a menu as it is: so a doubtful one counts.

Debian: https://www.debian.org/releases/stable/amd64/apbs02
Ubuntu: https://canonical-subiquity.readthedocs-hosted.com/en/latest/reference/autoinstall-reference.html
Anaconda: https://anaconda-installer.readthedocs.io/en/latest/user-guide/boot-options.html
SUSE: https://documentation.suse.com/sles/15-SP6/html/SLES-all/appendix-linuxrc.html and Agama's boot options
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS = (
    # Debian's preseeding, under full names and short ones, and what Ubuntu's installers read.
    r"(?:preseed/)?(?:file|url)=(?!.*\.(?:iso|img|squashfs)$).+|preseed(?:/\w+)?=.+",
    r"auto(?:-install/enable)?=(?:true|1|yes)|auto|automatic-ubiquity|debian_frontend=noninteractive",
    r"autoinstall(?:=.*)?|(?:subiquity\.)?autoinstallpath=.+|ds=nocloud.*|cloud-config-url=.+",
    # Anaconda's kickstart, and the mode in which it asks nothing.
    r"(?:inst\.)?ks(?:\.all)?(?:=.*)?|kickstart=.+|inst\.cmdline|liveks=.+",
    # AutoYaST, Agama, Mageia's and ALT's installers.
    r"autoyast2?=.+|autoupgrade=1|(?:agama|inst)\.auto(?:_insecure)?=.+|auto_install=.+|ai",
    # Live media that install, wipe, restore or recover by themselves, or run what somebody wrote.
    r"cdinst=1|script=.+|apkovl=.+|answers?(?:file)?=.+|proxmox-start-auto-installer|fai_action=.+",
    r"ocs_live_batch=\"?yes\"?|.*--autonuke.*|auto_recover|automatic|unattended(?:=.*)?|noninteractive",
    r"(?:coreos|flatcar|ignition|talos)\.(?:inst(?:all)?(?:\..*)?|config(?:\.url)?)=.+|coreos\.inst",
    r"talos\.experimental\.wipe=.+|[\w.]*\.install\.(?:automatic|silent|device|config_url)=.+",
    # What provisioning servers hand out: Cobbler's and MAAS's addresses.
    r"[^=]+=\w+://.*(?:/cblr/|/cobbler|/autoinstall|/kickstart|/preseed).*",
)
# A word may hold line ends, in quotes. That a dot takes them too also keeps the time linear: there is no second try.
_MARK = re.compile("|".join(_MARKS), re.IGNORECASE | re.DOTALL)
# Seeds that a distribution's own attended entries name: they answer what is installed, and nothing about the disk.
_OWN_SEEDS = re.compile(
    r"(?:preseed/)?file=/cdrom/(?:preseed/(?:[a-z]*ubuntu|linuxmint|mint|elementary|pop|zorin|neon|cli|hwe)"
    r"[\w.-]*\.seed|simple-cdd/default\.preseed)"
)
# An initial RAM disk that is loaded behind the installer's own, to hold its answers.
_ANSWERS_IN_INITRD = re.compile(
    r".*(?:preseed|kickstart|autoinst|autoyast|answers?|user-data).*|(?:.*[._-])?ks(?:[._-].*)?",
    re.IGNORECASE | re.DOTALL,
)


def is_unattended(arguments: Iterable[str], initrds: Iterable[str] = ()) -> bool:
    """Whether a kernel with these arguments and initial RAM disks may install, wipe or restore without asking."""
    words = [word.strip('"') for word in arguments]
    if any(_MARK.fullmatch(word) and not _OWN_SEEDS.fullmatch(word) for word in words):
        return True
    return any(_ANSWERS_IN_INITRD.fullmatch(initrd.rpartition("/")[2]) for initrd in initrds)
