"""The mission: a working serial console, as a recipe over a tree, and its status link by link.

`recipe.enable` makes the changes, `status.status` tells how things stand. Both walk the same chain, and each kind of
link has one module that knows how to look at it and how to mend it:

    loaders   what shows the boot menu and holds the kernel's command line
    logins    what asks for a login on the line

An installer on an ISO is another chain, with a recipe and a status of its own: see `installer`.

A recipe knows no engine, no format, no path of the host.
"""
