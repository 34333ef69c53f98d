"""Which file system a folder is on: a ledger has to be on one of this machine."""

from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
# A database in the mode that is used here maps a file into memory, which several machines cannot
# share; the locks of some of these are no locks.
_NETWORK = {
    *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs", "gfs2", "glusterfs"),
    *("gpfs", "lustre", "ncp", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs"),
    *("pvfs2", "smb", "smb2", "smb3", "smbfs", "vboxsf", "wekafs"),
}
# Others in user space are of this machine, such as ntfs-3g.
_IN_USER_SPACE = (
    *("beegfs", "ceph", "cifs", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "juicefs"),
    *("mount-s3", "mountpoint-s3", "nfs", "rclone", "s3fs", "sshfs", "weed"),
)


def network_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the network file system that a path is on, such as "nfs4".

    Args:
        path: of a file or folder, which need not be there.
        mounts: the table of mounts, as Linux has it.

    Returns:
        None on a file system of this machine, and where the system does not say.
    """
    try:
        table = mounts.read_text(errors="surrogateescape")
    except OSError:
        return None
    whole = path.resolve()
    found, longest = "", -1
    for line in table.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(_unescape(words[1]))
        # Of two at the same place the later one hides the earlier.
        if (whole == point or point in whole.parents) and len(point.parts) >= longest:
            found, longest = words[2], len(point.parts)
    return found if _is_network(found) else None


def _is_network(kind: str) -> bool:
    above, _, name = kind.partition(".")
    if above in ("fuse", "fuseblk"):
        return name.startswith(_IN_USER_SPACE)
    return kind in _NETWORK


def _unescape(word: str) -> str:
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("043", "#")):
        word = word.replace(f"\\{code}", character)
    return word.replace("\\134", "\\")
