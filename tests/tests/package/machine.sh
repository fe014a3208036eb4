# Boots systemd over a copy of this machine's root directory, in namespaces. $1: a file system with the directories
# up, work and root. What is written goes to up, and is there at the next boot.
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
# Nothing of this machine's own: no file systems, and no word against starting services.
: >etc/fstab
rm -f usr/sbin/policy-rc.d
cat >etc/systemd/system/machine.target <<UNIT
[Unit]
Wants=sysinit.target systemd-journald.service network-pre.target
After=sysinit.target systemd-journald.service network-pre.target
UNIT
mkdir -p mnt/before
pivot_root . mnt/before
umount -l /mnt/before
exec env -i container=firewall-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target
