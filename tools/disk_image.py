"""What tools/box writes into disk images by hand: a partition table, and the id of a VMDK file.

    python tools/disk_image.py partition IMAGE MEGABYTES
    python tools/disk_image.py vmdk-id IMAGE

The partition table is that of PC BIOSes: one bootable partition of type 0x83 (Linux) goes from 1 MB to the end. Four
entries of 16 bytes begin at byte 446; 0x55 0xaa ends the sector. Each entry has a status, the first sector as cylinder,
head and sector, a type, the last sector in the same way, and then what every system since the 1990s reads: the first
sector and the number of sectors, 32 bits each.

A VMDK file names itself by a random number, CID, in a text of 20 sectors behind the first; VMware's Virtual Disk Format
1.1. qemu-img draws a new one each time, which would make two builds of the same disk differ.
"""

import re
import struct
import sys
from pathlib import Path

SECTOR = 512
FIRST = 1024 * 1024 // SECTOR
BOOTABLE, LINUX = 0x80, 0x83
NO_CHS = b"\xfe\xff\xff"  # beyond what cylinder, head and sector can say
TEXT = slice(SECTOR, 21 * SECTOR)
ID = b"10617d00"


def partition_table(megabytes: int) -> bytes:
    """Return the last 66 bytes of sector 0 for a disk of that size."""
    sectors = megabytes * 1024 * 1024 // SECTOR - FIRST
    entry = struct.pack("<B3sB3sII", BOOTABLE, NO_CHS, LINUX, NO_CHS, FIRST, sectors)
    return entry + bytes(3 * 16) + b"\x55\xaa"


def same_id(head: bytes) -> bytes:
    """Return the first 21 sectors of a VMDK file with ID as its CID."""
    text = re.sub(rb"^CID=[0-9a-f]+$", b"CID=" + ID, head[TEXT].rstrip(b"\0"), count=1, flags=re.MULTILINE)
    return head[:SECTOR] + text.ljust(20 * SECTOR, b"\0")


def main(verb: str, path: str, *arguments: str) -> None:
    with Path(path).open("r+b") as image:
        if verb == "partition":
            image.seek(SECTOR - 66)
            image.write(partition_table(int(arguments[0])))
        else:
            head = same_id(image.read(TEXT.stop))
            image.seek(0)
            image.write(head)


if __name__ == "__main__":
    main(*sys.argv[1:])
