"""What people hold who look for a migration stream, and how it is known: rows that are loaded when no stream is found.

Each says what to do next.  Magics of streams, and of what they carry, are in :mod:`magic`; they are looked for first.
Sources are named row by row.
"""

from __future__ import annotations


class At:
    """The bytes `data` at `offset`."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset


class Neighbour:
    """What has all that `marks` say, and passes the `check` of that name in reader/neighbours.py if it has one.

    `hint` says what to do.  `lines` are tests of magic(5), of which all have to hold too, in place of the check;
    file(1) knows of no row without marks.
    """

    __slots__ = ("check", "hint", "key", "lines", "marks", "name", "source")

    def __init__(
        self,
        key: str,
        name: str,
        hint: str,
        source: str,
        *marks: At,
        check: str = "",
        lines: tuple[str, ...] = (),
    ) -> None:
        self.key = key
        self.name = name
        self.hint = hint
        self.source = source
        self.marks = marks
        self.check = check
        self.lines = lines


def _through(command: str) -> str:
    """What to do with what is compressed by a program we do not open."""
    return f"decompress it: {command} FILE | streamfmt verify -"


# How a VHD's footer begins, of which dynamic ones have a copy at the beginning.
VHD_COOKIE = b"conectix"
_UNTAR = (
    "unpack it (tar -xf FILE); streamfmt identify FILE lists the images in it, "
    "and verify, show and extract take them as FILE/MEMBER"
)
_UNPCAP = "get the bytes of the connection out of it (tcpflow -r FILE writes a file for each direction)"
_MEMORY = "it has memory but no state of processors or devices, so no guest can be restored from it; {} reads it"
_DISK = "if a suspend image is on that disk, get the raw disk: qemu-img convert -f {} -O raw FILE guest.img"
_QEMU = "it is a part of a QEMU migration, not of one by Xen: QEMU loads it, with the others, by -incoming"

ARCHIVES = (
    Neighbour("tar", "tar archive", _UNTAR, "POSIX.1-2001, a header's checksum, which v7 has too", check="tar"),
    Neighbour("tar", "tar archive", _UNTAR, "POSIX.1-2001, ustar interchange format", At(b"ustar\0", 257)),
    Neighbour("tar", "tar archive", _UNTAR, "GNU tar src/tar.h, OLDGNU_MAGIC", At(b"ustar ", 257)),
    Neighbour("bzip2", "bzip2 data", _through("bzip2 -dc"), "bzip2 compress.c", At(b"BZh"), At(b"1AY&SY", 4)),
    Neighbour("bzip2", "bzip2 data", _through("bzip2 -dc"), "bzip2 compress.c", At(b"BZh"), At(b"\x17rE8P\x90", 4)),
    Neighbour("lz4", "LZ4 data", _through("lz4 -dc"), "lz4 doc/lz4_Frame_format.md", At(b"\x04\x22M\x18")),
    Neighbour("lz4", "LZ4 data", _through("lz4 -dc"), "lz4 doc, legacy frame", At(b"\x02\x21L\x18")),
    Neighbour("lzop", "lzop data", _through("lzop -dc"), "lzop src/lzop.c", At(b"\x89LZO\0\r\n\x1a\n")),
    Neighbour(
        "lzma",
        "LZMA data",
        _through("xz --format=lzma -dc"),
        "LZMA SDK lzma.txt, LZMA file format",
        At(b"\x5d\0\0"),
        check="lzma",
        lines=("13 ubyte 0", "5 ulequad+1 <0x4000000000"),
    ),
    Neighbour("lzip", "lzip data", _through("lzip -dc"), "lzip manual, file format", At(b"LZIP\x01")),
    Neighbour(
        "7z",
        "7-Zip archive",
        "unpack it (7z x FILE) and give the file that was in it",
        "7-Zip DOC/7zFormat.txt",
        At(b"7z\xbc\xaf\x27\x1c"),
    ),
    Neighbour(
        "zip", "zip archive", "unpack it (unzip FILE) and give the file that was in it", "PKWARE APPNOTE", At(b"PK\3\4")
    ),
)

CAPTURES = (
    Neighbour(
        "pcap", "network capture (pcap, little-endian)", _UNPCAP, "libpcap pcap-savefile", At(b"\xd4\xc3\xb2\xa1")
    ),
    Neighbour("pcap", "network capture (pcap, big-endian)", _UNPCAP, "libpcap pcap-savefile", At(b"\xa1\xb2\xc3\xd4")),
    Neighbour(
        "pcap",
        "network capture (pcap of nanoseconds, little-endian)",
        _UNPCAP,
        "libpcap pcap-savefile",
        At(b"\x4d\x3c\xb2\xa1"),
    ),
    Neighbour(
        "pcap",
        "network capture (pcap of nanoseconds, big-endian)",
        _UNPCAP,
        "libpcap pcap-savefile",
        At(b"\xa1\xb2\x3c\x4d"),
    ),
    Neighbour(
        "pcap",
        "network capture (pcapng, little-endian)",
        _UNPCAP,
        "pcapng draft, Section Header Block",
        At(b"\x0a\x0d\x0d\x0a"),
        At(b"\x4d\x3c\x2b\x1a", 8),
    ),
    Neighbour(
        "pcap",
        "network capture (pcapng, big-endian)",
        _UNPCAP,
        "pcapng draft, Section Header Block",
        At(b"\x0a\x0d\x0d\x0a"),
        At(b"\x1a\x2b\x3c\x4d", 8),
    ),
)

_CORE = _MEMORY.format("crash or Volatility")
CORES = (
    Neighbour(
        "lime",
        "LiME dump of memory",
        _MEMORY.format("Volatility"),
        "LiME doc/README.md, header version 1",
        At(b"EMiL\1\0\0\0"),
    ),
    Neighbour(
        "avml",
        "AVML dump of memory, compressed",
        "avml-convert makes a LiME dump of it; " + _MEMORY.format("Volatility"),
        "AVML src/image.rs",
        At(b"AVML\2\0\0\0"),
    ),
    Neighbour(
        "xm-core",
        "core of a PV guest (xm dump-core of Xen 3.0)",
        _CORE,
        "tools/libxc/xenctrl.h of Xen 3.0, XC_CORE_MAGIC",
        At(b"\xed\xeb\x0f\xf0"),
    ),
    Neighbour(
        "xm-core",
        "core of an HVM guest (xm dump-core of Xen 3.0)",
        _CORE,
        "tools/libxc/xenctrl.h of Xen 3.0, XC_CORE_MAGIC_HVM",
        At(b"\xee\xeb\x0f\xf0"),
    ),
    Neighbour(
        "xen-core",
        "core of a guest (xl dump-core)",
        _CORE,
        "docs/misc/dump-core-format.txt, .note.Xen",
        At(b"\x7fELF"),
        check="xen_note",
        lines=("(216.q+12) string Xen", "(216.q+8) ulelong&0xfffffffc 0x2000000"),
    ),
    Neighbour(
        "elf-core",
        "ELF core without .note.Xen",
        "it is no core of xl dump-core: gdb reads a process's, crash a kernel's",
        "ELF specification, ET_CORE",
        At(b"\x7fELF"),
        At(b"\1", 5),
        At(b"\4\0", 16),
    ),
    Neighbour(
        "elf-core",
        "ELF core without .note.Xen",
        "it is no core of xl dump-core: gdb reads a process's, crash a kernel's",
        "ELF specification, ET_CORE",
        At(b"\x7fELF"),
        At(b"\2", 5),
        At(b"\0\4", 16),
    ),
    Neighbour(
        "elf",
        "ELF program",
        "it is a program, a library or a kernel; give the file that was saved from the guest",
        "ELF specification",
        At(b"\x7fELF"),
    ),
)

DISKS = (
    Neighbour(
        "qcow2",
        "qcow2 disk image",
        _DISK.format("qcow2") + "; a snapshot with memory in it is QEMU's",
        "QEMU docs/interop/qcow2.txt",
        At(b"QFI\xfb"),
    ),
    Neighbour(
        "vmdk", "VMDK disk image", _DISK.format("vmdk"), "VMware Virtual Disk Format 1.1, sparse extent", At(b"KDMV")
    ),
    Neighbour(
        "vmdk",
        "VMDK disk image (COW disk of ESX)",
        _DISK.format("vmdk"),
        "VMware Virtual Disk Format 1.1, ESX Server sparse extent",
        At(b"COWD"),
    ),
    Neighbour(
        "vmdk",
        "VMDK descriptor",
        "the disk is in the files that it names, which have to lie beside it; " + _DISK.format("vmdk"),
        "VMware Virtual Disk Format 1.1, descriptor",
        At(b"# Disk DescriptorFile"),
    ),
    Neighbour("vhdx", "VHDX disk image", _DISK.format("vhdx"), "MS-VHDX 2.2.1, File Type Identifier", At(b"vhdxfile")),
    Neighbour(
        "vhd",
        "dynamic VHD disk image",
        "a suspend VDI on a file SR is one: get the raw disk: qemu-img convert -f vpc -O raw FILE guest.img",
        "VHD specification 1.0, disk type 3",
        At(VHD_COOKIE),
        At(b"\0\0\0\3", 60),
    ),
    Neighbour(
        "vhd",
        "differencing VHD disk image",
        "it holds only what differs from its parent: export the whole disk (xe vdi-export format=raw) and give that",
        "VHD specification 1.0, disk type 4",
        At(VHD_COOKIE),
        At(b"\0\0\0\4", 60),
    ),
    Neighbour("vhd", "VHD disk image", _DISK.format("vpc"), "VHD specification 1.0", At(VHD_COOKIE)),
    Neighbour(
        "vdi",
        "VirtualBox disk image",
        _DISK.format("vdi"),
        "VirtualBox VDICore.h, VDI_IMAGE_SIGNATURE",
        At(b"\x7f\x10\xda\xbe", 64),
    ),
    Neighbour(
        "xva",
        "XVA export of a whole VM (a tar archive)",
        "give FILE/DISK: streamfmt identify FILE lists the images in it; xe vm-import takes the whole",
        "xen-api ocaml/xapi/export.ml",
        At(b"ova.xml\0"),
    ),
)

OTHERS = (
    Neighbour(
        "libvirt-qemu",
        "save file of libvirt's QEMU driver, which holds no Xen stream",
        "virsh restore takes it, on a host with QEMU; virsh save-image-dumpxml FILE shows the configuration",
        "libvirt src/qemu/qemu_saveimage.h",
        At(b"LibvirtQemudSave"),
    ),
    Neighbour(
        "libvirt-qemu",
        "unfinished save file of libvirt's QEMU driver, which holds no Xen stream",
        "the save did not finish, so nothing can be restored from it: save the guest again, if it still runs",
        "libvirt src/qemu/qemu_saveimage.h",
        At(b"LibvirtQemudPart"),
    ),
    Neighbour(
        "qemu-cpr",
        "state of a QEMU that is replaced (cpr-transfer, cpr-exec)",
        "it names descriptors that the old QEMU handed to the new one, and which no file holds: nothing can be "
        "restored from it, nor from the migration stream beside it, which has no memory",
        "QEMU migration/cpr.c",
        At(b"QCPR\0\0\0\1"),
    ),
    Neighbour(
        "firecracker",
        "Firecracker snapshot (x86-64)",
        "it is a guest of another monitor: Firecracker's API loads it (/snapshot/load)",
        "Firecracker src/vmm/src/snapshot",
        At(b"\x64\x86\x84\x19\x10\x07", 2),
    ),
    Neighbour(
        "firecracker",
        "Firecracker snapshot (64-bit Arm)",
        "it is a guest of another monitor: Firecracker's API loads it (/snapshot/load)",
        "Firecracker src/vmm/src/snapshot",
        At(b"\xaa\xaa\x84\x19\x10\x07", 2),
    ),
    Neighbour(
        "ch-migration",
        "migration of cloud-hypervisor",
        "it is a guest of another monitor: ch-remote receive-migration takes it",
        "cloud-hypervisor vm-migration/src/protocol.rs, Request",
        At(b"\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        check="cloud_hypervisor",
        lines=("16 ulequad 2", "32 ubyte 0x7b"),
    ),
    Neighbour(
        "xenstored",
        "xenstored live-update stream, not a guest",
        "only xenstored reads it, as it takes over from the one that wrote it",
        "docs/designs/xenstore-migration.md",
        At(b"xenstore"),
    ),
)
NEIGHBOURS = ARCHIVES + CAPTURES + CORES + DISKS + OTHERS

_CARRIED = "it is a part of a guest's state: verify the image that carries it"
# What to do with what has a magic of its own and is not read, by key.
HINTS = {
    "xend-2": "no Xen of today reads it, nor converts it: only Xen 2.0 restores it",
    "xapi-http": "record the connection from its beginning on",
    "xapi-vgpu": _CARRIED,
    "hvm-context": _CARRIED,
    "qemu-tail": _CARRIED,
    "cloud-hypervisor": "virsh restore takes it, on a host with cloud-hypervisor",
    "legacy": "say which guest it is: --guest pv or --guest hvm",
    "gzip": "decompress it: gzip -dc FILE",
    "xz": "decompress it: xz -dc FILE",
    "zstd": "decompress it: zstd -dc FILE",
}


class Xend:
    """What follows the magic of xend's save files.

    Source: tools/python/xen/xend/XendCheckpoint.py of Xen 3.0 to 4.4; tools/libxc/xc_linux_save.c of Xen 2.0, which
    has the number of pages (4 bytes, of a host with 4 GiB at most) there.
    """

    LENGTH_AT, TEXT_AT = 16, 20
    TEXT_BEGINS = b"("
    PAGES_MAX = 1 << 20
    NAME_OLD = "save file of Xen 2.0 (xm save)"
