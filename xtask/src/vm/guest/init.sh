#!/bin/busybox sh
# Starts a guest: loads the drivers, mounts the disk, adds the job's files and hands over.
set -e
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
for module in /modules/*; do
    [ ! -f "$module" ] || $bb insmod "$module"
done

# Disks are known by serial numbers: which of them is first is up to the kernel.
disk() {
    while :; do
        for block in /sys/block/vd*; do
            if [ "$($bb cat "$block/serial" 2>&1)" = "$1" ]; then
                echo "/dev/${block##*/}"
                return
            fi
        done
        $bb usleep 10000
    done
}

$bb mount -t ext4 -o noatime "$(disk root)" /root
$bb tar -xf "$(disk job)" -C /root
$bb mount --move /dev /root/dev
$bb umount /sys /proc
exec $bb switch_root /root "$($bb cat /root/srv/job/init)"
