"""Install trees: where an installer's kernel and initial RAM disk are, how to get them, and what to tell them.

`tree.find_tree` tells what a location holds, `fetch.fetch` brings kernel and initial RAM disk into a cache and checks
them, `initrd.inject` puts files into an initial RAM disk, `arguments.installer_arguments` makes the command line.

    model            what a tree is, and the machine names of the distributions
    source           what reads a location
    opening          which kind of it serves an address: local, http, ftp, nfs
    debian, anaconda, suse   how each family's trees are told
    download         one file into the cache: resumed, bounded, checked

Not here: package repositories, signatures of a distribution (only its checksums), and what starts a machine.
"""
