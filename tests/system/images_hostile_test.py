#!/usr/bin/env python3
"""Hostile images: each ends in one line of error or in a correct image, within bounds of time, memory and
disk; nothing outside the store is touched, nothing temporary is left, and the store verifies.

usage: images_hostile_test.py [CASE...]    BULKHEAD_BUILD_DIR names the build directory

The images are made here, case by case; none lies in the repository.
"""
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib

BUILD = os.environ["BULKHEAD_BUILD_DIR"]
IMAGE = f"{BUILD}/libexec/bulkhead-image"
PROBE = f"/tmp/bh-probe-{os.getpid()}"
SECONDS = 60
MEMORY_MIB = 150
DISK_MIB = 400

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

OK = None  # the image must load
ANY = re.compile("")  # either end is right

CASES = []


def case(name, expected):
    """Registers a function that gives an Image."""
    def register(make):
        CASES.append((name, expected, make))
        return make
    return register


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- tar, with every field as it is wanted -------------------------------------------------------

def field(value, width):
    if isinstance(value, bytes):
        return value.ljust(width, b"\0")[:width]
    return b"%0*o\0" % (width - 1, value)


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=0, link="", major=0, minor=0, checksum=None):
    def raw(text):
        return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")

    block = bytearray(512)

    def put(at, data):
        block[at:at + len(data)] = data

    put(0, raw(name)[:100])
    put(100, field(mode, 8))
    put(108, field(uid, 8))
    put(116, field(gid, 8))
    put(124, field(size, 12))
    put(136, field(mtime, 12))
    put(148, b" " * 8)
    put(156, kind)
    put(157, raw(link)[:100])
    put(257, b"ustar\x0000")
    put(329, field(major, 8))
    put(337, field(minor, 8))
    put(148, b"%06o\0 " % (sum(block) if checksum is None else checksum))
    return bytes(block)


def pad(data):
    return data + b"\0" * (-len(data) % 512)


def record(key, value):
    rest = len(key) + len(value) + 3
    length = rest
    while rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records, kind=b"x"):
    body = b"".join(record(key, value) for key, value in records)
    return header("pax", kind, len(body)) + pad(body)


def file(name, data=b"", **fields):
    return header(name, size=len(data), **fields) + pad(data)


def directory(name, **fields):
    return header(name, b"5", mode=0o755, **fields)


def symlink(name, target):
    return header(name, b"2", link=target)


def hard_link(name, target):
    return header(name, b"1", link=target)


def long_name(name, kind=b"L"):
    data = name if isinstance(name, bytes) else name.encode()
    return header("././@LongLink", kind, len(data) + 1) + pad(data + b"\0")


END = b"\0" * 1024


# --- images --------------------------------------------------------------------------------------

class Image:
    """An OCI archive, of which a case may spoil anything before it is written."""

    def __init__(self, *layers, compress=lambda tar: tar, media_type=OCI_LAYER, config=None):
        self.blobs = {}
        self.layers = []
        self.diff_ids = []
        for tar in layers:
            blob = compress(tar)
            self.layers.append(self.blob(blob, media_type))
            self.diff_ids.append(digest(tar))
        self.config = {"architecture": "amd64", "os": "linux", "config": {},
                       "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}
        self.config["config"].update(config or {})
        self.config_text = None
        self.manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
        self.manifest_text = None
        self.index = {"schemaVersion": 2, "mediaType": OCI_INDEX}
        self.index_text = None
        self.change_config = lambda descriptor: descriptor
        self.change_manifest = lambda descriptor: descriptor

    def blob(self, data, media_type):
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def archive(self):
        config = self.config_text or json.dumps(self.config).encode()
        self.manifest.setdefault("config", self.change_config(self.blob(config, OCI_CONFIG)))
        self.manifest.setdefault("layers", self.layers)
        manifest = self.manifest_text or json.dumps(self.manifest).encode()
        entry = self.blob(manifest, self.manifest.get("mediaType") or OCI_MANIFEST)
        entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        self.index.setdefault("manifests", [self.change_manifest(entry)])
        out = file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        out += file("index.json", self.index_text or json.dumps(self.index).encode())
        for name, data in self.blobs.items():
            out += file("blobs/" + name.replace(":", "/"), data)
        return out + END


def layer(*members):
    return Image(b"".join(members) + END)


def expect_layer(name, expected, *members):
    CASES.append((name, expected, lambda: layer(*members)))


# --- A. layer archives ---------------------------------------------------------------------------

for number, name in enumerate(["../../etc/cron.d/x", "a/../../x", "./../x"]):
    expect_layer(f"A1 name {number}", "a name that leaves|leaves the root|outside|\\.\\.", file(name, b"x"))
expect_layer("A1 absolute name", OK, file("/etc/x", b"x"))
expect_layer("A1 NUL in a pax name", ANY, pax((b"path", b"a\0b")), file("x", b"x"))
expect_layer("A1 4 KiB name", "long|bytes", pax((b"path", b"n" * 4096)), file("x", b"x"))
expect_layer("A1 not UTF-8", OK, file(b"bad\xff\xfe", b"x"))

expect_layer("A2 through a symlink of the same layer", ANY, symlink("d", PROBE), file("d/x", b"x"))


@case("A3 through a symlink of a lower layer", ANY)
def lower_symlink():
    return Image(symlink("d", PROBE) + END, file("d/x", b"x") + END)


@case("A3 whiteout through a symlink", ANY)
def whiteout_symlink():
    return Image(symlink("d", PROBE) + END, file("d/.wh.victim") + END)


expect_layer("A4 hard link out of the root", "\\.\\.", hard_link("h", "../../etc/passwd"))
expect_layer("A4 absolute hard link", "passwd", hard_link("h", "/etc/passwd"))
expect_layer("A4 hard link through a symlink", ANY, symlink("d", PROBE), hard_link("h", "d/victim"))
expect_layer("A4 hard link to a later entry", "later", hard_link("h", "later"), file("later", b"x"))
expect_layer("A5 hard link to a directory", "d", directory("d"), hard_link("h", "d"))
expect_layer("A5 hard link to itself", ANY, hard_link("h", "h"))
expect_layer("A5 hard link in a missing parent", OK, file("f", b"x"), hard_link("no/such/h", "f"))

expect_layer("A6 symlink loop", "loop", symlink("loop", "loop"), file("loop/x", b"x"))
expect_layer("A6 chain of 45 symlinks", "symbolic links", *[symlink(f"l{n}", f"l{n + 1}") for n in range(45)],
             directory("l45"), file("l0/x", b"x"))


@case("A6 symlink and directory change places", OK)
def change_places():
    return Image(symlink("a", "b") + directory("b") + END, directory("a") + symlink("b", "a") + END,
                 file("b/x", b"x") + END)


for number, name in enumerate([".wh..", ".wh...", ".wh.", "d/.wh.."]):
    expect_layer(f"A7 whiteout of nothing {number}", "whiteout of nothing", directory("d"), file(name))
expect_layer("A7 opaque before and after", OK, directory("d"), file("d/a", b"x"), file("d/.wh..wh..opq"),
             file("d/b", b"x"))

expect_layer("A8 devices", OK, header("null", b"3", major=1, minor=3), header("kvm", b"3", major=10, minor=232),
             header("tun", b"3", major=10, minor=200), header("sda", b"4", major=8), header("fifo", b"6"))

expect_layer("A9 modes beyond 07777", OK, file("f", b"x", mode=0o7777777), directory("t", uid=0o7777777))
for number, (uid, expected) in enumerate([(2**31 - 1, OK), (2**32 - 2, OK), (2**32 - 1, "owner"), (-1, "owner"),
                                          (10**20, "owner")]):
    expect_layer(f"A9 owner {number}", expected, pax((b"uid", str(uid).encode())), file("f", b"x"))

expect_layer("A10 pax size too small", ANY, pax((b"size", b"1")), file("f", b"x" * 600))
expect_layer("A10 pax size too large", "tar|truncated", pax((b"size", b"100000")), file("f", b"x"))
expect_layer("A10 pax path with ..", "\\.\\.", pax((b"path", b"a/../../x")), file("f", b"x"))
expect_layer("A10 pax absolute linkpath", OK, pax((b"linkpath", b"/etc/passwd")), symlink("s", "x"))
expect_layer("A10 global header", ANY, pax((b"path", b"../../x"), kind=b"g"), file("f", b"x"))
expect_layer("A10 attributes that would steer the mount", OK,
             pax((b"SCHILY.xattr.trusted.overlay.opaque", b"y"), (b"SCHILY.xattr.security.capability", b"\1\0\0\2" * 5)),
             file("f", b"x"))
expect_layer("A10 64 KiB attribute", ANY, pax((b"SCHILY.xattr.user.a", b"v" * 65536)), file("f", b"x"))
expect_layer("A10 10000 attributes", "attributes",
             pax(*[(b"SCHILY.xattr.user.name%d" % n, b"value") for n in range(10000)]), file("f", b"x"))
expect_layer("A10 duplicate keys", OK, pax((b"path", b"a"), (b"path", b"b")), file("f", b"x"))

SPARSE = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"))
for number, (sparse_map, real_size, expected) in enumerate([
        (b"1\n4096\n5\n", b"100", "fit|sparse|tar"), (b"2\n100\n5\n90\n3\n", b"200", "fit|sparse|tar"),
        (b"1\n0\n5\n", b"1125899906842624", "1125899906842624"), (b"1\n-5\n5\n", b"100", ""),
        (b"99999999\n", b"100", "")]):
    expect_layer(f"A11 sparse map {number}", expected, pax(*SPARSE, (b"GNU.sparse.realsize", real_size)),
                 file("s", sparse_map.ljust(512, b"\0") + b"helloend"))

expect_layer("A12 long name of 4 GiB", "", header("././@LongLink", b"L", b"\x80" + (1 << 32).to_bytes(11, "big")),
             b"x" * 512)
expect_layer("A12 negative base-256 size", "", header("f", size=b"\xff" * 12))
expect_layer("A12 size that overflows", "", header("f", size=b"777777777777"))
expect_layer("A12 bad checksum", "tar", file("a", b"x"), header("b", checksum=1))
CASES.append(("A12 header only", "tar|truncated", lambda: Image(header("f", size=10))))
expect_layer("A12 long link target", "", long_name("t" * 5000, b"K"), symlink("s", "x"))
expect_layer("A12 entries after the end", OK, file("a", b"x"), END, file("../../b", b"x"))
expect_layer("A12 trailing garbage", OK, file("a", b"x"), END, b"garbage")
for blocks in range(1, 6):
    CASES.append((f"A12 truncated after {blocks} blocks", ANY,
                  lambda blocks=blocks: Image((directory("d") + file("d/f", b"x" * 1200))[:blocks * 512])))


def deflated(pieces):
    """A gzip member, made piece by piece."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(compressor.compress(piece) for piece in pieces) + compressor.flush()


def zeros(total):
    piece = b"\0" * (1 << 20)
    return (piece for _ in range(total >> 20))


@case("A13 10 GiB of zeros in a file of 10 MiB", OK)
def bomb():
    image = Image()
    size = 10 << 30
    piece = b"\0" * (16 << 20)
    head = header("zeros", size=b"\x80" + size.to_bytes(11, "big"))
    tar_hash, checksum = hashlib.sha256(head), zlib.crc32(head)
    for data in [piece] * (size // len(piece)) + [END]:
        tar_hash.update(data)
        checksum = zlib.crc32(data, checksum)
    # Behind a full flush the same input gives the same output.
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = compressor.compress(head) + compressor.flush(zlib.Z_FULL_FLUSH)
    middle = compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH)
    end = compressor.compress(END) + compressor.flush()
    total = (len(head) + size + len(END)) % (1 << 32)
    blob = (b"\x1f\x8b\x08" + bytes(6) + b"\xff" + begin + middle * (size // len(piece)) + end +
            struct.pack("<II", checksum, total))
    image.layers.append(image.blob(blob, OCI_LAYER + "+gzip"))
    image.diff_ids.append("sha256:" + tar_hash.hexdigest())
    return image


@case("A13 gzip in gzip", "tar")
def nested():
    return Image(gzip.compress(file("a", b"x") + END), compress=gzip.compress, media_type=OCI_LAYER + "+gzip")


@case("A13 100000 empty members", OK)
def members():
    return Image(file("a", b"x") + END, compress=lambda tar: gzip.compress(b"") * 100000 + gzip.compress(tar),
                 media_type=OCI_LAYER + "+gzip")


@case("A13 zstd window of 2 GiB", "zstd|memory")
def window():
    # magic, no single segment, window descriptor of 2^31, one empty last block
    return Image(b"", compress=lambda _: b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00",
                 media_type=OCI_LAYER + "+zstd")


@case("A13 zstd dictionary that nobody has", "zstd|Dictionary")
def dictionary():
    return Image(b"", compress=lambda _: b"\x28\xb5\x2f\xfd\x21\x07\x01" + b"\x0d\x00\x00" + b"x",
                 media_type=OCI_LAYER + "+zstd")


@case("A13 zstd skippable frames", "tar|zstd|diff|match")
def skippable():
    return Image(b"x", compress=lambda _: b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" * 1000,
                 media_type=OCI_LAYER + "+zstd")


@case("A13 lying zstd content size", "zstd")
def lying():
    return Image(b"x", compress=lambda _: b"\x28\xb5\x2f\xfd\x20\x50\x09\x00\x00x", media_type=OCI_LAYER + "+zstd")


@case("A14 300000 empty files in one directory", OK)
def many_files():
    return Image(b"".join(header(f"d/{n}") for n in range(300000)) + END, compress=lambda t: gzip.compress(t, 1))


expect_layer("A14 path depth 1500", ANY, pax((b"path", b"/".join([b"a"] * 1500))), file("f", b"x"))
expect_layer("A14 path depth 5000", "long|deep|bytes|levels", pax((b"path", b"/".join([b"a"] * 5000))), file("f", b"x"))

for mtime in [b"-62135596800", b"2147483648", b"9223372036854775807", b"1.1000000000", b"-9223372036854775808"]:
    expect_layer(f"A15 mtime {mtime.decode()}", ANY, pax((b"mtime", mtime)), file("f", b"x"))
expect_layer("A15 the same name 1000 times", OK, *[file("f", b"%d" % n) for n in range(1000)])

expect_layer("A16 names that differ in case or composition", OK, file("a", b"1"), file("A", b"2"),
             file("caf\u00e9", b"3"), file("cafe\u0301", b"4"))
expect_layer("A16 . as a file", ANY, file(".", b"x"))
expect_layer("A16 empty name", ANY, header(""))
expect_layer("A16 trailing slash of a file", ANY, file("f/", b"x"))

for kind, data in {"HTML": b"<html><body>not here</body></html>" * 50, "torn zstd": b"\x28\xb5\x2f\xfd\x00", "empty": b"",
                   "xz": lzma.compress(b"x"), "bzip2": bz2.compress(b"x")}.items():
    CASES.append((f"A17 gzip by name, {kind} by content", ANY,
                  lambda data=data: Image(data, media_type=OCI_LAYER + "+gzip")))

CASES.append(("A17 gzip by name, plain tar by content", OK,
              lambda: Image(file("a", b"x") + END, media_type=OCI_LAYER + "+gzip")))
for program in ["zstd", "xz", "bzip2"]:
    CASES.append((f"A17 gzip by name, a tar in {program} by content", OK,
                  lambda program=program: Image(
                      file("a", b"x") + END, media_type=OCI_LAYER + "+gzip",
                      compress=lambda tar: subprocess.run([program, "-c"], input=tar, stdout=subprocess.PIPE,
                                                          check=True).stdout)))
expect_layer("A18 only whiteouts", OK, file(".wh.a"), file("d/.wh.b"))
CASES.append(("A18 no layers", OK, Image))
for count in [127, 500, 2000]:
    CASES.append((f"A18 {count} layers", OK,
                  lambda count=count: Image(*[file(f"f{n}", b"x") + END for n in range(count)])))
CASES.append(("A18 2100 layers", "layers|entries", lambda: Image(*[END] * 2100)))

for url in ["file:///etc/passwd", "http://169.254.169.254/", "http://localhost/"]:
    @case(f"A19 foreign layer at {url}, absent here", "not distributable")
    def foreign(url=url):
        image = Image(file("a", b"x") + END, media_type="application/vnd.oci.image.layer.nondistributable.v1.tar")
        image.layers[0]["urls"] = [url]
        del image.blobs[image.layers[0]["digest"]]
        return image

    @case(f"A19 foreign layer at {url}, and here", OK)
    def foreign_here(url=url):
        image = Image(file("a", b"x") + END, media_type="application/vnd.oci.image.layer.nondistributable.v1.tar")
        image.layers[0]["urls"] = [url]
        return image


# --- B. manifests, indexes, configs --------------------------------------------------------------

GOOD = file("a", b"x") + END


def spoil(name, expected, change):
    def make():
        image = Image(GOOD)
        change(image)
        return image
    CASES.append((name, expected, make))


def set_blob(image):
    image.blobs[image.layers[0]["digest"]] = GOOD + b"more"


spoil("B20 layer of another digest", "not in the archive|damaged|match", set_blob)
spoil("B20 diff id of another tar", "diff_ids|match", lambda image: image.diff_ids.__setitem__(0, digest(b"")))
for size in [1, 10**7, -1, 2**53 + 1, 1.5]:
    spoil(f"B20 layer size {size}", "", lambda image, size=size: image.layers[0].__setitem__("size", size))
    spoil(f"B20 config size {size}", "",
          lambda image, size=size: setattr(image, "change_config", lambda entry: {**entry, "size": size}))
for text in ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + "A" * 64, "sha256:../../x", "", "sha256:",
             "sha256:" + "0" * 63, "sha512:" + "0" * 64]:
    spoil(f"B21 digest {text[:20]}", "", lambda image, text=text: image.layers[0].__setitem__("digest", text))
spoil("B22 both manifest and index", "both", lambda image: image.manifest.update(manifests=[]))
spoil("B22 a manifest that calls itself an index", "", lambda image: image.manifest.update(mediaType=OCI_INDEX))


@case("B23 index of 10001 entries", "entries|index.json")
def huge_index():
    image = Image(GOOD)
    image.index["manifests"] = [{"mediaType": OCI_MANIFEST, "digest": digest(b"%d" % n), "size": 2}
                                for n in range(10001)]
    return image


@case("B23 indexes 100 deep", "deep")
def deep_index():
    image = Image(GOOD)
    image.archive()
    entry = image.index.pop("manifests")[0]
    for _ in range(100):
        inner = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        entry = image.blob(json.dumps(inner).encode(), OCI_INDEX)
    image.index["manifests"] = [entry]
    return image


@case("B23 no entry for this architecture", "s390x")
def other_architecture():
    image = Image(GOOD)
    image.archive()
    inner = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {**image.index.pop("manifests")[0], "platform": {"os": "linux", "architecture": "s390x"}}]}
    image.index["manifests"] = [image.blob(json.dumps(inner).encode(), OCI_INDEX)]
    return image


for name, text in {"depth": b'{"a":' * 100000, "duplicate keys": b'{"schemaVersion":2,"schemaVersion":3}',
                   "NaN": b'{"schemaVersion":NaN}', "invalid UTF-8": b'{"a":"\xff"}', "BOM": b"\xef\xbb\xbf{}",
                   "trailing data": b"{} {}", "1e400": b'{"schemaVersion":1e400}',
                   "1 MiB key": b'{"' + b"k" * (1 << 20) + b'":1}', "array": b"[]", "nothing": b" "}.items():
    spoil(f"B24 manifest: {name}", "", lambda image, text=text: setattr(image, "manifest_text", text))
    spoil(f"B24 config: {name}", "", lambda image, text=text: setattr(image, "config_text", text))
spoil("B24 index.json of 100 MiB", "", lambda image: setattr(image, "index_text", b'{"a":"' + b"x" * (100 << 20) + b'"}'))

for user in ["-1", "4294967296", "root:999999999999", "a\nb"]:
    CASES.append((f"B25 user {user!r}", "", lambda user=user: Image(GOOD, config={"User": user})))
for name, config in {"environment without =": {"Env": ["A"]}, "NUL": {"Env": ["A=\0"]},
                     "100000 entries": {"Env": [f"A{n}=b" for n in range(100000)]},
                     "LD_PRELOAD": {"Env": ["LD_PRELOAD=/x", "PATH="]}, "1 MiB value": {"Env": ["A=" + "x" * (1 << 20)]},
                     "working directory outside": {"WorkingDir": "../../.."},
                     "relative working directory": {"WorkingDir": "a"}}.items():
    CASES.append((f"B26 {name}", ANY, lambda config=config: Image(GOOD, config=config)))
CASES.append(("B27 no command at all", OK, lambda: Image(GOOD, config={"Entrypoint": None, "Cmd": None})))
CASES.append(("B27 a million arguments", "", lambda: Image(GOOD, config={"Cmd": ["a"] * 10**6})))
CASES.append(("B28 labels that would control the host", OK, lambda: Image(GOOD, config={"Labels": {
    "containerd.io/restart.status": "running", "containerd.io/restart.loguri": "binary:///bin/sh?-c",
    "io.bulkhead.restart": "always", "cdi.k8s.io/x": "vendor.com/device=all"}})))
expect_layer("B29 files that virtual machine monitors read", OK, file(".krun_vm.json", b"{}"), file(".krun_config.json", b"{}"))
for name in ["etc/passwd", "etc/group", "etc/resolv.conf", "etc/hosts", "dev", "proc", "sys", "run"]:
    expect_layer(f"B30 {name} is a symlink, a fifo, a device", OK, symlink(name, PROBE))
    expect_layer(f"B30 {name} is a fifo", OK, header(name, b"6"))
    expect_layer(f"B30 {name} is a device", OK, header(name, b"3", major=1, minor=3))


# --- the runs ------------------------------------------------------------------------------------

class Failed(Exception):
    pass


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    # Roots are sparse: what they take is looked at afterwards.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 30, 16 << 30))


def run_image(work, *arguments):
    env = dict(os.environ, BULKHEAD_STATE_DIR=f"{work}/state", BULKHEAD_RUN_DIR=f"{work}/run", TMPDIR=f"{work}/tmp")
    with open(f"{work}/err", "wb") as err:
        child = subprocess.Popen([IMAGE, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=err, preexec_fn=limits)
        deadline = time.monotonic() + 5 * SECONDS  # CPU time is what is limited: machines are slow at times
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                child.kill()
                raise Failed("it does not end")
            time.sleep(0.005)
    child.returncode = os.waitstatus_to_exitcode(status)
    with open(f"{work}/err", errors="replace") as err:
        lines = [line for line in err.read().splitlines() if line.startswith("bulkhead: ")]
    return child.returncode, lines, used.ru_maxrss / 1024


def everything(path):
    return sorted((entry.path, entry.stat(follow_symlinks=False).st_mtime_ns, entry.stat(follow_symlinks=False).st_mode)
                  for entry in os.scandir(path))


def write_archive(path, make):
    """In a process of its own: what this one has ever taken counts as a child's peak memory."""
    maker = os.fork()
    if maker == 0:
        with open(path, "wb") as out:
            out.write(make().archive())
        os._exit(0)
    if os.waitpid(maker, 0)[1] != 0:
        raise Failed("its image cannot be made")


def check(work, expected, make):
    os.makedirs(PROBE)
    os.makedirs(f"{work}/tmp")
    with open(f"{PROBE}/victim", "w") as victim:
        victim.write("untouched")
    write_archive(f"{work}/image.tar", make)
    before = everything(PROBE)
    status, lines, memory = run_image(work, "load", "-q", "-i", f"{work}/image.tar")
    if status not in (0, 1):
        raise Failed(f"status {status}: {lines}")
    if expected is OK and status != 0:
        raise Failed(f"it was refused: {lines}")
    if isinstance(expected, str):
        if status != 1 or len(lines) != 1:
            raise Failed(f"status {status}: {lines}")
        if not re.search(expected, lines[0]):
            raise Failed(f"another error than {expected!r}: {lines[0]}")
    if any(not line.isprintable() or len(line) > 2000 for line in lines):
        raise Failed(f"a message that is not for a terminal: {lines}")
    if memory > MEMORY_MIB:
        raise Failed(f"{memory:.0f} MiB of memory")
    if everything(PROBE) != before or os.listdir(f"{work}/tmp"):
        raise Failed("something outside the store was touched")
    if os.listdir(f"{work}/state/content/ingest"):
        raise Failed("something temporary is left")
    taken = sum(os.lstat(f"{path}/{name}").st_blocks * 512 for path, _, names in os.walk(f"{work}/state")
                for name in names)
    if taken > DISK_MIB << 20:
        raise Failed(f"{taken >> 20} MiB of disk")
    files = os.listdir(f"{work}/state/roots")
    left = [name for name in files if name.endswith(".ext4")]
    if len(left) != (1 if status == 0 else 0) or (status != 0 and files):
        raise Failed(f"roots: {files}")
    if status == 0:
        root = f"{work}/state/roots/{left[0]}"
        checked = subprocess.run(["e2fsck", "-fn", root], capture_output=True, text=True)
        if checked.returncode != 0:
            raise Failed(f"e2fsck: {checked.stdout[-500:]}")
    verified, lines, _ = run_image(work, "verify")
    if verified != 0:
        raise Failed(f"the store does not verify: {lines}")
    return status, memory


def main():
    for tool in ["e2fsck"]:
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is absent")
            return 77
    if not os.path.exists(IMAGE):
        print(f"skipped: {IMAGE} is not built")
        return 77
    failures = 0
    chosen = [entry for entry in CASES if not sys.argv[1:] or any(word in entry[0] for word in sys.argv[1:])]
    for name, expected, make in chosen:
        work = tempfile.mkdtemp(prefix="bh-")
        begin = time.monotonic()
        try:
            status, memory = check(work, expected, make)
            print(f"ok: {name}: {'loads' if status == 0 else 'is refused'}, {time.monotonic() - begin:.1f} s, "
                  f"{memory:.0f} MiB", flush=True)
        except Failed as failure:
            failures += 1
            print(f"FAILED: {name}: {failure}", flush=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(PROBE, ignore_errors=True)
    print(f"{len(chosen)} cases, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
