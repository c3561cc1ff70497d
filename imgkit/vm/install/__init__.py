"""A machine made, and started for the first time.

request       a machine as asked for, and the blueprint that comes of it: fetched installer, enabled ISO
installation  the machine made of that, and started
storage       its disks
enabling      serial consoles for the images that it starts from
kernelcd      a kernel on a CD, so that the boot order starts it once; bootsector, bzimage
follower      where the boot order cannot: a process that starts it again after its installer
"""
