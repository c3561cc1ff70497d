"""A serial console for an installer: the recipe over the tree of its ISO, and its status.

`recipe.enable` makes the changes, `status.status` tells how things stand, `medium.find_medium` what installer it is.
The boot loaders are those of `console.loaders`; what an installer needs beyond them has a module each:

    menus            which files the boot loaders of an ISO read, and what they lead to
    bootmenu         a menu as its user meets it, and which of its choices fit a serial line
    defaults         what boots by itself, by boot loader: grubmenu, syslinuxmenus, systemdbootmenu
    arguments        what an installer wants to hear beside `console=`
    coreos           the places of Fedora CoreOS's kernel arguments, which have to stay known
"""
