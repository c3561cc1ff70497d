"""Structures of the vhost-user protocol, of virtqueues and of virtio-blk: little endian, as on x86.

Specifications: https://qemu-project.gitlab.io/qemu/interop/vhost-user.html,
https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html (2.7 split virtqueues, 5.2 block device)
"""

from __future__ import annotations

import struct
from enum import IntEnum

HEADER = struct.Struct("<III")  # request, flags, size of the payload
VERSION, REPLY = 0x1, 0x4  # flags
U64 = struct.Struct("<Q")
U16 = struct.Struct("<H")
VRING_STATE = struct.Struct("<II")  # index, number
VRING_ADDRESSES = struct.Struct("<IIQQQQ")  # index, flags, descriptors, used, available, log
MEMORY_HEAD = struct.Struct("<II")  # number of regions, padding
MEMORY_REGION = struct.Struct("<QQQQ")  # guest address, size, user address, offset in the file
CONFIG_HEAD = struct.Struct("<III")  # offset, size, flags
NO_DESCRIPTOR = 0x100  # in the payload of SET_VRING_KICK and its like: no file descriptor comes with it

DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next
NEXT, DEVICE_WRITES, INDIRECT = 1, 2, 4
USED = struct.Struct("<II")  # head of the chain, bytes written
RING_HEAD = 4  # flags and index, 16 bits each, in front of both rings
NO_INTERRUPT = 1  # flag of the available ring

REQUEST = struct.Struct("<IIQ")  # type, reserved, sector
READ, WRITE, FLUSH, GET_ID = 0, 1, 4, 8
OK, IO_ERROR, UNSUPPORTED = b"\0", b"\1", b"\2"

# capacity in sectors, size_max, seg_max, geometry, block size: the head of struct virtio_blk_config
CONFIG = struct.Struct("<QIIHBBI")
CONFIG_SIZE = 96  # bytes of all that Linux knows of it

FEATURE_SEG_MAX, FEATURE_FLUSH = 1 << 2, 1 << 9
FEATURE_INDIRECT = 1 << 28
FEATURE_PROTOCOL = 1 << 30
FEATURE_VERSION_1 = 1 << 32
PROTOCOL_BACKEND_CHANNEL, PROTOCOL_CONFIG = 1 << 5, 1 << 9  # the first one: Linux takes its interrupt only with it


class Message(IntEnum):
    """Requests that Linux's virtio_uml makes; names as in the specification."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
