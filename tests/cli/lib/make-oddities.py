#!/usr/bin/env python3
"""usage: make-oddities.py DIRECTORY

Puts into a directory that is there what packages have little or nothing of: devices, links, holes, attributes, times.
"""
import os
import stat
import sys

os.chdir(sys.argv[1])
os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
os.mknod("far", 0o600 | stat.S_IFBLK, os.makedev(259, 1000000))
os.mkfifo("fifo")
with open("linked", "w", encoding="ascii") as file:
    file.write("content\n")
os.mkdir("directory")
os.link("linked", "linked-too")
os.link("linked", "directory/linked-far")
with open("hole", "wb") as file:
    file.seek(3 << 20)
    file.write(b"end")
os.chown("hole", 4294967294, 70000)
with open("attributes", "wb") as file:
    file.write(b"content")
for name, value in (
    ("user.text", b"value"), ("user.zeros", b"a\0b"), ("user.large", b"x" * 2000), ("user.empty", b""),
    ("security.capability", bytes.fromhex("0100000200200000000000000000000000000000")),
):
    os.setxattr("attributes", name, value)
os.setxattr("directory", "user.of", b"a directory")
os.symlink("x" * 200, "long-link")
os.chmod("directory", 0o3777)
os.utime("linked", (0, -2145916800))  # 1902
os.utime("long-link", (0, 4102444800), follow_symlinks=False)  # 2100
