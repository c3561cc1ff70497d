"""Virtual machines under libvirt: described, started, and talked to over their serial lines.

    spec         what a machine is made of
    domain       the same as libvirt's domain XML
    connection   libvirt itself: connected to, or embedded in this process
    line         the serial line: everything that came over it, waiting for text, typing
    machine      a machine that lives as long as a `with` block, its line open from the first byte
    launcher     machines that stay: started, stopped, listed, removed

Not here: graphics, snapshots, migration, storage pools. `virsh` and virt-manager see the same machines.
"""
