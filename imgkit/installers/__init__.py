"""A serial console for an installer: the recipe over the tree of its ISO, and its status.

`recipe.enable` makes the changes, `status.status` tells how things stand, `detection.find_installer` what installer it
is. The boot loaders are those of `imgkit.bootloaders`, and what boots by itself is decided in `bootloaders.bootmenu`;
what an installer needs beyond them has a module each:

    menufiles        which files the boot loaders of an ISO read, and what they lead to
    arguments        what an installer wants to hear beside `console=`
    coreos           the places of Fedora CoreOS's kernel arguments, which have to stay known
"""
