#!/bin/sh
# A shell on the guest's console; the guest goes when the shell ends.
cd /srv/job/files || exit
stty sane < /dev/ttyS0
setsid --ctty --wait /bin/sh ../command < /dev/ttyS0 > /dev/ttyS0 2>&1
echo o > /proc/sysrq-trigger
sleep 60
