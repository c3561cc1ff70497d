"""Fedora CoreOS and RHEL CoreOS: a live system with coreos-installer; its kernel arguments have areas of their own.

See `installers.coreos` for those. Its Ignition files are put onto the medium by coreos-installer.
"""

from imgkit.installers import InstallerFamily

FAMILY = InstallerFamily(marks=("/coreos", "/images/ignition.img"))
