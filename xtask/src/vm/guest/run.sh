#!/bin/sh
# Runs the job in a guest and tells the host: a line when it starts, its output, its files, a line when it ends.
cd /srv/job/files || exit
mkdir -p ../out

# What brings the verdict out must outlive the memory shortages that jobs are about.
echo -1000 > /proc/self/oom_score_adj

port() {
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name")" != "$1" ] || echo "/dev/${port##*/}"
    done
}

# A port can be opened once only, but a job may open /dev/stdout again: so it gets a pipe.
mkfifo ../pipe
cat ../pipe > "$(port output)" &
exec 3> ../pipe
token=$(cat ../token)
echo "$token ready" >&3
(
    echo 0 > /proc/self/oom_score_adj
    exec /bin/sh ../command < /dev/null >&3 2>&3 3>&-
)
status=$?
# 1 says that a file changed or went meanwhile; what lacks more, as on a full disk, is no archive of the files.
tar -cf ../results.tar -C ../out . 2>&3
if [ $? -gt 1 ]; then
    printf '\n%s lost %s\n' "$token" "$status" >&3
    sleep 60
    exit
fi
cat ../results.tar > "$(port results)"
# The host ends the guest when it has read this far; otherwise it would have to guess what is under way.
printf '\n%s end %s %s\n' "$token" "$status" "$(stat -c %s ../results.tar)" >&3
sleep 60
