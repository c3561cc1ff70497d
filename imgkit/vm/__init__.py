"""Virtual machines under libvirt: described, started, and talked to over their serial lines.

    spec          what a machine is made of
    domain        the same as libvirt's domain XML
    connection    libvirt itself: connected to, or embedded in this process; sweeper, ptylocks
    machine       a machine that lives as long as a `with` block, its line open from the first byte
    launcher      machines that stay: started, stopped, listed, removed
    install       machines that stay: made, and started from their installers
    serial        the serial line of a running machine, and who sits at it
    verification  one image booted, to see whether its console works; stages, reading
    checkup       what of all that works on this host

Not here: graphics, snapshots, migration, storage pools. `virsh` and virt-manager see the same machines.
"""
