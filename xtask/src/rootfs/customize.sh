set -eu
root=$1

# A test starts the service it needs, under the limits it wants; nothing else runs.
rm -f "$root"/etc/systemd/system/*.wants/* "$root"/etc/rc[S0-6].d/S*

# With a machine id there is no "first boot", at which systemd would enable all that is installed.
echo 0123456789abcdef0123456789abcdef > "$root"/etc/machine-id

echo guest > "$root"/etc/hostname
printf '127.0.0.1 localhost guest\n::1 localhost\n' > "$root"/etc/hosts
: > "$root"/etc/resolv.conf
: > "$root"/etc/fstab

# The console of a guest that cannot be reached from anywhere.
sed -i 's/^root:[^:]*:/root::/' "$root"/etc/shadow
