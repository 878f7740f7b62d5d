"""Stops a filesystem as a loss of power would: power_cut.py FOLDER FILE

FILE, in FOLDER, is written right before, so that whether it is lost tells whether anything was cut.

FS_IOC_SHUTDOWN with NOLOGFLUSH (linux/fs.h; ext4, xfs, f2fs, btrfs of late): what was not flushed to the disk before is lost,
every later operation fails. Unmounting and mounting again replays the filesystem's journal.
"""

import fcntl
import os
import struct
import sys

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

folder = os.open(sys.argv[1], os.O_RDONLY)
with open(os.path.join(sys.argv[1], sys.argv[2]), "wb") as never_flushed:
    never_flushed.write(bytes(1_000_000))
fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
