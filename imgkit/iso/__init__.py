"""An ISO 9660 image as a tree of files over a block device, with what makes it boot kept right when a file changes.

    detection   whether an image is one
    volume      opens an image: descriptors, trees, names to files
    tree        the verbs of `imgkit.tree.Tree`, FAT boot images included
    writer      puts changed contents in place, and everything that refers to them in step
    placement   room for a file that outgrew its extent: unused padding, or growth
    hybrid      MBR, GPT and Apple partition map of images that boot from USB disks as well
    media       checksums that an image carries about itself
    description what an image is, at a glance

Nothing is written but through the block device, which is the overlay; no image is ever laid out anew.
"""
