# The loop of the incident: each worker's RSS, again and again, with half of gunicorn's time-out in between.
import sys
import time

import psutil

limit, interval, parent = int(sys.argv[1]), float(sys.argv[2]), psutil.Process(int(sys.argv[3]))
acts = sys.argv[4:] == ["act"]
while True:
    time.sleep(interval)
    for worker in parent.children():
        if worker.memory_info().rss > limit:
            print("worker", worker.pid, "is sent" if acts else "would be sent", "SIGTERM", flush=True)
            if acts:
                worker.terminate()
