"""Write a partition table for PC BIOSes into a disk image: python tools/partition.py IMAGE MEGABYTES.

One bootable partition of type 0x83 (Linux) goes from 1 MB to the end. The format: four entries of 16 bytes at byte 446,
then 0x55 0xaa. Each entry has a status, the first sector as cylinder, head and sector, a type, the last sector in the
same way, and then what every system since the 1990s reads: first sector and number of sectors, 32 bits each.
"""

import struct
import sys
from pathlib import Path

SECTOR = 512
FIRST = 1024 * 1024 // SECTOR
BOOTABLE, LINUX = 0x80, 0x83
NO_CHS = b"\xfe\xff\xff"  # beyond what cylinder, head and sector can say


def table(megabytes: int) -> bytes:
    """Return the last 66 bytes of sector 0 for a disk of that size."""
    sectors = megabytes * 1024 * 1024 // SECTOR - FIRST
    entry = struct.pack("<B3sB3sII", BOOTABLE, NO_CHS, LINUX, NO_CHS, FIRST, sectors)
    return entry + bytes(3 * 16) + b"\x55\xaa"


if __name__ == "__main__":
    with Path(sys.argv[1]).open("r+b") as image:
        image.seek(SECTOR - 66)
        image.write(table(int(sys.argv[2])))
