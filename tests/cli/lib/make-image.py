#!/usr/bin/env python3
"""Makes oci-archives for tests, good and bad. usage: make-image.py KIND FILE"""
import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile


def busybox():
    with open(shutil.which("busybox"), "rb") as file:
        return file.read()


class Layer:
    """A layer tar, member by member, names exactly as given."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", link="", mode=0o755):
        member = tarfile.TarInfo(name)
        member.type = kind
        member.size = len(data)
        member.linkname = link
        member.mode = mode
        self.tar.addfile(member, io.BytesIO(data))
        return self

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_archive(path, name, layers, architecture="amd64", damage=lambda blobs, layers: None, labels=None):
    blobs = {}

    def blob(data, media_type):
        blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    compressed = [gzip.compress(layer, mtime=0) for layer in layers]
    config = {"architecture": architecture, "os": "linux", "config": {"Labels": labels or {}},
              "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar+gzip")
                           for layer in compressed],
                "annotations": labels or {}}
    descriptor = blob(json.dumps(manifest).encode(), manifest["mediaType"])
    descriptor["annotations"] = {"io.containerd.image.name": name,
                                 "org.opencontainers.image.ref.name": name.rpartition(":")[2], **(labels or {})}
    descriptor["platform"] = {"os": "linux", "architecture": architecture}
    damage(blobs, [digest(layer) for layer in compressed])
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
             "manifests": [descriptor]}
    with tarfile.open(path, "w") as out:
        def put(member_name, data):
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))

        put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        put("index.json", json.dumps(index).encode())
        for name_of_blob, data in blobs.items():
            put("blobs/sha256/" + name_of_blob.partition(":")[2], data)


def base():
    return Layer().add("bin", tarfile.DIRTYPE).add("bin/busybox", data=busybox())


def wrong_digest(path):
    def damage(blobs, layers):
        blobs[layers[0]] = gzip.compress(base().add("evil").bytes(), mtime=0)
    write_archive(path, "localhost/wrong:latest", [base().bytes()], damage=damage)


def truncated(path):
    def damage(blobs, layers):
        blobs[layers[0]] = blobs[layers[0]][: len(blobs[layers[0]]) // 2]
    write_archive(path, "localhost/truncated:latest", [base().bytes()], damage=damage)


def hostile(path):
    layer = base().add("inside", data=b"inside")
    layer.add("../../tmp/bulkhead-escape", data=b"x")
    layer.add("d", tarfile.SYMTYPE, link="/tmp")
    layer.add("d/bulkhead-escape", data=b"x")
    layer.add("hard", tarfile.LNKTYPE, link="../../../etc/passwd")
    layer.add("/tmp/bulkhead-escape", data=b"x")
    write_archive(path, "localhost/hostile:latest", [layer.bytes()])


def whiteouts(path):
    one = base().add("dir", tarfile.DIRTYPE).add("dir/gone", data=b"gone").add("dir/kept", data=b"kept\n")
    one.add("opaque", tarfile.DIRTYPE).add("opaque/gone", data=b"gone")
    two = Layer().add("dir/.wh.gone").add("opaque/.wh..wh..opq").add("opaque/new", data=b"new")
    two.add("link", tarfile.LNKTYPE, link="dir/kept")
    write_archive(path, "localhost/whiteouts:latest", [one.bytes(), two.bytes()])


# Names by which engines, their plugins and we ourselves keep what concerns the host.
STEERING = {
    "containerd.io/restart.status": "running",
    "containerd.io/restart.policy": "always",
    "containerd.io/restart.loguri": "binary:///bin/sh?-c=touch%20/tmp/bulkhead-steered",
    "io.containerd.runc.v2.group": "other",
    "cdi.k8s.io/devices": "vendor.example/device=all",
    "io.kubernetes.cri.sandbox-id": "other",
    "run.oci.handler": "krun",
    "bulkhead.memory": "4g",
    "bulkhead.privileged": "true",
    "bulkhead.publish": "0.0.0.0:80:80",
}


KINDS = {
    "steering": lambda path: write_archive(path, "localhost/steering:latest", [base().bytes()], labels=STEERING),
    "foreign": lambda path: write_archive(path, "localhost/foreign:latest", [base().bytes()], "s390x"),
    "wrong-digest": wrong_digest,
    "truncated": truncated,
    "hostile": hostile,
    "whiteouts": whiteouts,
    "empty": lambda path: write_archive(path, "localhost/empty:latest", []),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2])
