#!/usr/bin/env python3
"""Whether edits of a tree that is being made do what the same edits do to a real directory.

Random sequences of edits (seeds printed) are carried out in a directory and by ext4_edit_tool. Each must succeed or
fail in both, and in the end the image, clean by e2fsck -fn, must hold the directory's tree. Needs no root; as root
owners, devices and trusted attributes are edited too.

  ext4_edit_oracle.py TOOL EDIT_TOOL [--seed N] [--runs N]
"""
import argparse
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile

from ext4_reader_oracle import compare, run, tree_of_directory, tree_of_tar

NAMES = ["a", "b", "c", "d", "e", "f", "n" * 255, "\u00fc"]


class Editor:
    """Carries edits out in a directory, and writes them down."""

    def __init__(self, top, chance):
        self.top, self.chance, self.script, self.results = top, chance, [], []

    def edit(self, command, *arguments):
        self.script.append("\t".join([command, *map(str, arguments)]))
        try:
            getattr(self, command)(*arguments)
            self.results.append(True)
        except OSError:
            self.results.append(False)

    def full(self, path):
        return os.path.join(self.top, path)

    def clear(self, path):
        full = self.full(path)
        if os.path.lexists(full):
            self.remove(path)

    # -- the edits, by the rules of Formatter --

    def mkdir(self, path, mode):
        full = self.full(path)
        if os.path.islink(full) or (os.path.lexists(full) and not os.path.isdir(full)):
            os.unlink(full)
        if not os.path.isdir(full):
            os.mkdir(full)
        else:
            # It is made anew, with its children: other attributes are gone.
            for name in os.listxattr(full):
                os.removexattr(full, name)
            os.chown(full, 0, 0) if os.geteuid() == 0 else None
        os.chmod(full, mode)

    def write(self, path, mode, size, letter):
        self.clear(path)
        with open(self.full(path), "xb") as file:
            file.write(letter.encode() * size)
        os.chmod(self.full(path), mode)

    def symlink(self, path, target):
        self.clear(path)
        os.symlink(target, self.full(path))

    def link(self, path, target):
        source, full = self.full(target), self.full(path)
        if os.path.isdir(source) and not os.path.islink(source):
            raise IsADirectoryError(target)
        os.lstat(source)
        if os.path.lexists(full) and os.path.samestat(os.lstat(source), os.lstat(full)):
            return
        aside = self.full("aside")
        os.link(source, aside, follow_symlinks=False)
        self.clear(path)
        os.rename(aside, full)

    def mknod(self, path, mode, major, minor):
        self.clear(path)
        os.mknod(self.full(path), stat.S_IFCHR | 0o600, os.makedev(major, minor))
        os.chmod(self.full(path), mode)

    def chmod(self, path, mode):
        os.chmod(self.full(path), mode)

    def chown(self, path, uid, gid):
        mode = os.lstat(self.full(path)).st_mode
        os.chown(self.full(path), uid, gid, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(self.full(path), stat.S_IMODE(mode))  # the system call takes set-user-id away

    def setxattr(self, path, name, value):
        os.setxattr(self.full(path), name, value.encode(), follow_symlinks=False)

    def removexattr(self, path, name):
        os.removexattr(self.full(path), name, follow_symlinks=False)

    def rename(self, source, target):
        os.rename(self.full(source), self.full(target))

    def remove(self, path):
        full = self.full(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        elif os.path.lexists(full):
            os.unlink(full)

    # -- random ones --

    def all_paths(self):
        paths = []
        for directory, names, files in os.walk(self.top):
            paths += [os.path.relpath(os.path.join(directory, name), self.top) for name in names + files]
        return sorted(paths)

    def random_edit(self):
        chance, paths = self.chance, self.all_paths()
        directories = [""] + [path for path in paths
                              if os.path.isdir(self.full(path)) and not os.path.islink(self.full(path))]
        new = os.path.join(chance.choice(directories), chance.choice(NAMES))
        old = chance.choice(paths) if paths else new
        any_path = chance.choice([new, old, new + "-absent"])
        mode = chance.randrange(0o10000) | 0o700
        is_root = os.geteuid() == 0
        kind = chance.choice(["mkdir", "mkdir", "write", "write", "symlink", "link", "chmod", "setxattr", "setxattr",
                              "removexattr", "rename", "rename", "rename", "remove"]
                             + (["mknod", "chown", "chown"] if is_root else []))
        if kind == "mkdir" or (kind == "chmod" and os.path.isdir(self.full(any_path))):
            mode &= ~0o2000  # what is made in such a directory has its group
        if kind == "mkdir":
            self.edit(kind, new, mode)
        elif kind == "write":
            self.edit(kind, new, mode, chance.choice([0, 1, 5000, 40000]), chance.choice("xyz"))
        elif kind == "symlink":
            self.edit(kind, new, chance.choice(["a", "b/c", "x" * 100]))
        elif kind == "link":
            # Into the tree that it would replace, the two differ in what they ask first.
            if not old.startswith(new + "/"):
                self.edit(kind, new, old)
        elif kind == "mknod":
            self.edit(kind, new, mode, chance.randrange(4096), chance.randrange(2**20))
        elif kind == "chmod" and not os.path.islink(self.full(any_path)):
            self.edit(kind, any_path, mode)
        elif kind == "chown":
            self.edit(kind, any_path, chance.choice([0, 1000, 2**32 - 2]), chance.choice([0, 70000]))
        elif kind in ("setxattr", "removexattr"):
            full = self.full(old)
            plain = os.path.isfile(full) or os.path.isdir(full)
            if os.path.islink(full) or not plain:
                return
            name = chance.choice(["user.", "trusted."] if is_root else ["user."]) + chance.choice("pqr")
            self.edit(kind, old, name, *(["v" * chance.choice([1, 10, 300])] if kind == "setxattr" else []))
        elif kind == "rename":
            self.edit(kind, any_path, chance.choice([new, old, chance.choice(paths or [new])]))
        elif kind == "remove":
            self.edit(kind, any_path)


def test(tool, edit_tool, seed, directory):
    top = os.path.join(directory, f"top{seed}")
    os.mkdir(top)
    editor = Editor(top, random.Random(seed))
    for _ in range(editor.chance.choice([20, 100, 300])):
        editor.random_edit()
    os.chmod(top, 0o755)
    script, image, tar = (os.path.join(directory, name) for name in ("script", "image", "tar"))
    with open(script, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in editor.script))
    results = [line == "ok" for line in run(edit_tool, image, script).stdout.decode().splitlines()]
    for line, ours, theirs in zip(editor.script, results, editor.results):
        assert ours == theirs, f"{line!r}: ours {'succeeds' if ours else 'fails'}, the system's does not"
    assert len(results) == len(editor.results)
    run("e2fsck", "-fn", image)
    run(tool, "export", image, tar)
    found, wanted = tree_of_tar(tar), tree_of_directory(top)
    for tree, _ in (found, wanted):
        for node in tree.values():
            node["mtime"] = None
        if os.geteuid() != 0:
            for node in tree.values():
                node["owner"] = None
    # tar links symbolic links and devices of several names, too; only regular files are grouped in the other.
    links = [group for group in found[1] if stat.S_ISREG(found[0][group[0]]["mode"])]
    compare(f"seed {seed}", wanted, (found[0], links))
    assert links == wanted[1], (links, wanted[1])
    shutil.rmtree(top)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("edit_tool")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=60)
    options = parser.parse_args()
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    if not shutil.which("e2fsck"):
        print("skipped: e2fsck is not installed (apt-get install e2fsprogs)")
        return 77
    os.umask(0)
    with tempfile.TemporaryDirectory(prefix="ext4-edit-oracle-") as directory:
        for seed in range(options.seed, options.seed + options.runs):
            try:
                test(options.tool, options.edit_tool, seed, directory)
            except BaseException:
                print(f"FAILED: --seed {seed} --runs 1", flush=True)
                raise
    print(f"ok: {options.runs} sequences of edits, seeds {options.seed} to {options.seed + options.runs - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
