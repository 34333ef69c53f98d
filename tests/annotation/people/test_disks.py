import pytest

from cbda_jax.annotation.people.disks import network_file_system


@pytest.fixture
def mounts(tmp_path):
    def write(*lines):
        table = tmp_path / "mounts"
        table.write_text("".join(f"{line} rw,relatime 0 0\n" for line in lines))
        return table

    return write


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "9p", "lustre", "gpfs", "ceph", "beegfs", "glusterfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "afs"),
    ],
)
def test_disks_of_other_machines(tmp_path, mounts, kind):
    table = mounts("/dev/sda1 / ext4", f"server:/work {tmp_path} {kind}")
    assert network_file_system(tmp_path / "run" / "ledger.sqlite", table) == kind


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuseblk", "zfs"])
def test_disks_of_this_machine(tmp_path, mounts, kind):
    table = mounts("server:/ / nfs4", f"/dev/sdb1 {tmp_path} {kind}")
    assert network_file_system(tmp_path, table) is None
    assert network_file_system(tmp_path.parent, table) == "nfs4"


def test_the_nearest_mount_counts_and_of_two_the_later(tmp_path, mounts):
    folder = tmp_path / "my run" / "deep"
    folder.mkdir(parents=True)
    escaped = str(tmp_path / "my run").replace(" ", "\\040")
    table = mounts("/dev/sda1 / ext4", f"host:/a {escaped} nfs", f"{tmp_path} {tmp_path} ext4")
    assert network_file_system(folder, table) == "nfs"
    # A name that only begins alike is another folder.
    assert network_file_system(tmp_path / "my running", table) is None
    table = mounts("/dev/sda1 / ext4", f"h:/a {escaped} nfs", f"/dev/sdb {escaped} xfs")
    assert network_file_system(folder, table) is None


def test_links_are_followed(tmp_path, mounts):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    table = mounts("/dev/sda1 / ext4", f"server:/ {tmp_path / 'far'} nfs4")
    assert network_file_system(tmp_path / "near" / "ledger.sqlite", table) == "nfs4"


def test_a_system_that_does_not_say(tmp_path, mounts):
    assert network_file_system(tmp_path, tmp_path / "nothing") is None
    assert network_file_system(tmp_path, mounts("odd")) is None
