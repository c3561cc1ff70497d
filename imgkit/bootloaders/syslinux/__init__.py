"""SYSLINUX, ISOLINUX and EXTLINUX: menus, includes, and the generators of extlinux.conf."""
