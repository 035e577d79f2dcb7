# One line per hog for each tool, in turns: `NAME ABOVE CROSSED_TO_SIGNAL_NS SIGNAL_TO_BACK_NS KILLED HAS_ALL`. Goes in: the rounds, and
# in bytes what a hog may take until the bound and what it takes in all.
set -eu
rounds=$1 bound=$2 all=$3
unit=bench-hog.service
group=/sys/fs/cgroup/system.slice/$unit
chmod +x memwatch memwatch-load

# systemd-oomd acts on memory only where swap is short as well: a small one that is full from the start leaves memory to decide. It
# kills the cgroup with the most in swap, so what is in it belongs to the unit that the hog joins.
fallocate -l 24M /swap && chmod 600 /swap && mkswap -q /swap && swapon /swap

memwatch='
upper=$((TOTAL_KIB - AVAILABLE_KIB))
cat > policy.toml <<END
mode = "enforce"
whole_host = true
[growth]
enabled = false
[[scope]]
name = "host"
any_process = true
lower = "$((upper - 1))KiB"
upper = "${upper}KiB"
END
exec ./memwatch daemon --output json --config policy.toml'

earlyoom='exec earlyoom -r 0 -s 100,100 -M "$AVAILABLE_KIB,$((AVAILABLE_KIB / 2))"'

oomd='
used=$(((TOTAL_KIB - AVAILABLE_KIB) * 10000 / TOTAL_KIB))
printf "[OOM]\nSwapUsedLimit=%d.%02d%%\n" $((used / 100)) $((used % 100)) > /etc/systemd/oomd.conf
systemctl restart systemd-oomd
exec sleep 600'

psutil='exec python3 psutil_loop.py "$TAKEN" 45 "$PARENT" act'

# Memory that is then pushed out to swap.
start_unit() {
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemd-run --quiet --unit="$unit" --property=ManagedOOMSwap=kill python3 -c '
import mmap, time
held = mmap.mmap(-1, 48 << 20)
for at in range(0, len(held), 4096):
    held[at] = 1
time.sleep(600)'
    sleep 5
    # In small steps: one that is not met whole is an error.
    for step in 1 2 3 4 5 6; do
        echo 4M > "$group/memory.reclaim" || break
    done
}

# systemd starts it by its socket as soon as a unit asks for it, with the configuration of that moment.
stop_oomd() {
    systemctl stop systemd-oomd.socket systemd-oomd.service "$unit" 2>/dev/null || true
}

run() {
    name=$1 patience=$2 script=$3
    echo "$name $(./memwatch-load kill "$bound" "$all" "$patience" "$script" ${4-})"
}

stop_oomd
for round in $(seq "$rounds"); do
    run memwatch 20 "$memwatch"
    run earlyoom 20 "$earlyoom"
    start_unit
    run systemd-oomd 20 "$oomd" "$group"
    stop_oomd
    [ "$round" -gt 2 ] || run psutil 100 "$psutil"
done
