"""Install trees: where an installer's kernel and initial RAM disk are, and how to get them.

`tree.find_tree` tells what a location holds, `fetch.fetch` brings kernel and initial RAM disk into a cache and checks
them, `initrd.inject` puts files into an initial RAM disk. How a family's trees are told is in its module below
`imgkit.installers`, and so is what its installer is told.

    source           what reads a location
    opening          which kind of it serves an address: local, http, ftp, nfs
    download         one file into the cache: resumed, bounded, checked

Not here: package repositories, signatures of a distribution (only its checksums), and what starts a machine.
"""
